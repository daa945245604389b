"""Parameters as plain files: one `.npz`, its arrays named by their path in the tree, and a digest of their bytes."""

import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from oplstm_jax.files import atomic, read_arrays
from oplstm_jax.types import Params


def named_arrays(params: Params) -> dict[str, np.ndarray]:
    """The leaves of a parameter tree by path, such as `base/dense_0/kernel` or `lstm/0/w_ih`, sorted by path."""
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    return dict(sorted((jax.tree_util.keystr(path, simple=True, separator="/"), np.asarray(a)) for path, a in leaves))


def sha256(params: Params) -> str:
    """Hex digest of the parameters' bytes: sorted by path (as `named_arrays`), each array little-endian, C order."""
    digest = hashlib.sha256()
    for array in named_arrays(params).values():
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def save(path: str | Path, params: Params) -> None:
    """Writes the parameters to `path` (an .npz), atomically: the file is there whole or not at all."""
    with atomic(path) as file:
        np.savez(file, allow_pickle=False, **named_arrays(params))


def load(path: str | Path, like: Params) -> Params:
    """Reads parameters in the structure of `like` (arrays, or shapes and dtypes as from `jax.eval_shape`).

    Raises ValueError naming the first array that is missing, unexpected or of another shape.
    """
    arrays = read_arrays(path, "parameters")
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    names = [jax.tree_util.keystr(p, simple=True, separator="/") for p, _ in leaves]
    for name in sorted({*names, *arrays}):
        if name not in arrays or name not in names:
            raise ValueError(f"{path}: {'unexpected' if name in arrays else 'missing'} array {name!r}")
    for name, (_, leaf) in zip(names, leaves, strict=True):
        if arrays[name].shape != leaf.shape:
            raise ValueError(f"{path}: array {name!r} has shape {arrays[name].shape}, expected {leaf.shape}")
    found = [jnp.asarray(arrays[n], leaf.dtype) for n, (_, leaf) in zip(names, leaves, strict=True)]
    return jax.tree_util.tree_unflatten(structure, found)
