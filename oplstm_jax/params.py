"""Parameters as plain files: one `.npz`, its arrays named by their path in the tree, and a digest of their bytes."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from oplstm_jax.files import check_writable, read_arrays, write_arrays
from oplstm_jax.types import Params


def named_arrays(params: Params) -> dict[str, np.ndarray]:
    """The leaves of a parameter tree by path, such as `base/dense_0/kernel` or `lstm/0/w_ih`, sorted by path.

    Of typed keys, the numbers behind them.
    """
    return {name: _numbers(leaf) for name, leaf in sorted(path_leaves(params).items())}


def _numbers(leaf: Any) -> np.ndarray:
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def sha256(params: Params) -> str:
    """Hex digest of the parameters' bytes: sorted by path (as `named_arrays`), each array little-endian, C order."""
    digest = hashlib.sha256()
    for array in named_arrays(params).values():
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def save(path: str | Path, params: Params) -> None:
    """Writes the parameters to `path` (an .npz), atomically: the file is there whole or not at all.

    Raises ValueError if its folder is not there.
    """
    check_writable(path)
    write_arrays(path, named_arrays(params))


def load(path: str | Path, like: Params) -> Params:
    """Reads parameters in the structure of `like` (arrays, or shapes and dtypes as from `jax.eval_shape`).

    Raises ValueError naming the first array that is missing, unexpected or of another shape.
    """
    return _arranged(read_arrays(path, "parameters"), like, str(path))


def fitting(params: Params, like: Params) -> Params:
    """Parameters that have the structure of `like`, in its dtypes. Raises ValueError as `load` does."""
    return _arranged(path_leaves(params), like, "params")


def path_leaves(tree: Params) -> dict[str, Any]:
    """The leaves of a tree by path, in the order of the tree. Raises ValueError for two of one name."""
    named = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name in named:
            raise ValueError(f"two arrays are called {name!r}: expected names without '/' that tell them apart")
        named[name] = leaf
    return named


def _arranged(arrays: Mapping[str, Any], like: Params, source: str) -> Params:
    expected = path_leaves(like)
    for name in sorted({*expected, *arrays}):
        if name not in arrays or name not in expected:
            raise ValueError(f"{source}: {'unexpected' if name in arrays else 'missing'} array {name!r}")
    for name, leaf in expected.items():
        if arrays[name].shape != leaf.shape:
            raise ValueError(f"{source}: array {name!r} has shape {arrays[name].shape}, expected {leaf.shape}")
    found = [jnp.asarray(_as_kept(arrays[name], leaf.dtype), leaf.dtype) for name, leaf in expected.items()]
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), found)


def _as_kept(array: Any, dtype: Any) -> Any:
    """The array; numpy's files have no name for bfloat16 and its like, and say two bytes where they hold one."""
    return array.view(dtype) if array.dtype.kind == "V" and array.dtype.itemsize == dtype.itemsize else array
