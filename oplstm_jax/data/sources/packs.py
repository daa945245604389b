"""Image sets in one .npz file: the library's own format, and packs of encoded or bit-packed images with labels.

A pack holds its images as `images` (uint8 [I, H, W] or [I, H, W, channels]), as `jpeg` with `offsets` (image i is the
encoded file jpeg[offsets[i]:offsets[i+1]]), or as `packed` bits with `shape`; `labels` [I]; names as `class_names` or
`class_alphabet` with `class_character`; and, where it has one, a class split as `class_split` or
`class_vinyals_split` (0, 1, 2 or names). Objects are never unpickled.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from oplstm_jax.data import class_splits
from oplstm_jax.data.decode import decode, resize_all
from oplstm_jax.data.images import ImageSet, image_set
from oplstm_jax.data.progress import progress
from oplstm_jax.files import read_arrays

Arrays = Mapping[str, np.ndarray]


def load_pack(
    path: str | Path,
    image_size: int | None = None,
    channels: int | None = None,
    seed: int = 0,
    *,
    allow_shared: bool = False,
) -> ImageSet:
    """Reads a pack; images in their own size unless `image_size` is given. Classes without images are left out.

    A pack without class split gets the published one if all its classes are Omniglot's, else one drawn by `seed`.

    allow_shared: see `oplstm_jax.data.images.image_set`; a pack of such a set has an array of this name.

    Raises ValueError for a file that is no such pack, is damaged, or does not fit together.
    """
    path = Path(path)
    arrays = read_arrays(path, "pack")
    labels, names = _labels(arrays, path), _names(arrays, path)
    if labels.min() < 0 or labels.max() >= len(names):
        raise ValueError(f"{path}: labels go from {labels.min()} to {labels.max()}; expected 0 to {len(names) - 1}")
    images = resize_all(_images(arrays, path, image_size, channels or 3), image_size, channels)
    if len(images) != len(labels):
        raise ValueError(f"{path}: {len(images)} images but {len(labels)} labels; expected one label per image")
    counts = np.bincount(labels, minlength=len(names))
    present = np.flatnonzero(counts)
    split = _split(arrays, names, present, path, seed)
    in_order = images if (np.diff(labels) >= 0).all() else images[np.argsort(labels, kind="stable")]
    kept = [names[i] for i in present]
    allowed = allow_shared or ("allow_shared" in arrays and bool(arrays["allow_shared"].all()))
    loaded = image_set(str(path), in_order, counts[present], kept, split, allowed)._replace(name=path.stem)
    if "digest" in arrays and in_order is arrays["images"] and str(arrays["digest"]) != loaded.digest:
        raise ValueError(f"{path}: content does not match its digest; delete the file and prepare the set again")
    return loaded


def _require(arrays: Arrays, path: Path, *choices: tuple[str, ...]) -> tuple[str, ...]:
    """The first of `choices` whose arrays are all there."""
    for names in choices:
        if all(name in arrays for name in names):
            return names
    expected = ", or ".join(" with ".join(names) for names in choices)
    raise ValueError(f"{path}: pack has the arrays {', '.join(arrays) or 'none'}; expected {expected}")


def _labels(arrays: Arrays, path: Path) -> np.ndarray:
    _require(arrays, path, ("labels",))
    labels = arrays["labels"]
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not labels.size:
        raise ValueError(f"{path}: labels are {labels.dtype} {list(labels.shape)}; expected one integer per image")
    return labels.astype(np.int64)


def _names(arrays: Arrays, path: Path) -> list[str]:
    chosen = [arrays[n] for n in _require(arrays, path, ("class_names",), ("class_alphabet", "class_character"))]
    if any(part.ndim != 1 or part.dtype.kind != "U" or len(part) != len(chosen[0]) for part in chosen):
        raise ValueError(f"{path}: class names are no list of strings; expected one string per class")
    return ["/".join(parts) for parts in zip(*(part.tolist() for part in chosen), strict=True)]


def _images(arrays: Arrays, path: Path, size: int | None, channels: int) -> np.ndarray:
    kind = _require(arrays, path, ("images",), ("jpeg", "offsets"), ("packed", "shape"))
    if kind[0] == "images":
        images = arrays["images"]
        return _check(images[..., None] if images.ndim == 3 else images, path)
    if kind[0] == "packed":
        return _unpack(arrays["packed"], arrays["shape"], path)
    data, ends = arrays["jpeg"], arrays["offsets"]
    bounds = np.concatenate([[0], ends, [data.size]]) if ends.dtype.kind in "iu" and ends.ndim == 1 else None
    if data.dtype != np.uint8 or data.ndim != 1 or bounds is None or len(ends) < 2 or (np.diff(bounds) < 0).any():
        raise ValueError(f"{path}: jpeg and offsets do not fit; expected uint8 [bytes] and rising positions in it")
    decoded = [
        decode(data[start:end].tobytes(), f"{path}: image {i}", size, channels)
        for i, (start, end) in progress(list(enumerate(itertools.pairwise(ends))), "decoding images")
    ]
    return stack(decoded, str(path))


def stack(images: list[np.ndarray], source: str) -> np.ndarray:
    """Images of one size as one array. Raises ValueError if sizes differ."""
    shapes = {image.shape for image in images}
    if len(shapes) != 1:
        raise ValueError(f"{source}: images have {len(shapes)} different sizes; give image_size to make them equal")
    return np.stack(images)


def _check(images: np.ndarray, path: Path) -> np.ndarray:
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in (1, 3) or 0 in images.shape:
        found = f"{images.dtype} {list(images.shape)}"
        raise ValueError(f"{path}: images are {found}; expected uint8 [I, H, W] or [I, H, W, 1 or 3]")
    return images


def _unpack(packed: np.ndarray, shape: np.ndarray, path: Path) -> np.ndarray:
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or packed.ndim != 2 or packed.dtype != np.uint8:
        found = f"{packed.dtype} {list(packed.shape)}"
        raise ValueError(f"{path}: packed bits are {found}; expected uint8 [I, bytes] and shape [2]")
    height, width = shape.tolist()
    if min(height, width) < 1 or (height * width + 7) // 8 != packed.shape[1]:
        raise ValueError(f"{path}: {packed.shape[1]} bytes per image do not hold {height}x{width} bits")
    bits = np.unpackbits(packed, axis=1, count=height * width)
    return (bits * np.uint8(255)).reshape(-1, height, width, 1)


def _split(arrays: Arrays, names: list[str], present: np.ndarray, path: Path, seed: int) -> np.ndarray:
    found = [arrays[name] for name in ("class_split", "class_vinyals_split") if name in arrays]
    kept = [names[i] for i in present]
    if not found:
        omniglot = class_splits.published("omniglot")
        split = omniglot if set(kept) <= set(omniglot) else class_splits.drawn(kept, seed)
        return class_splits.indices(kept, split, str(path))
    if found[0].shape != (len(names),) or found[0].dtype.kind not in "iuU":
        kind = f"class split is {found[0].dtype} {list(found[0].shape)}"
        raise ValueError(f"{path}: {kind}; expected integers 0, 1, 2 or names, [{len(names)}]")
    if found[0].dtype.kind == "U":
        sides = [class_splits.standard_name(side, str(path)) for side in found[0][present].tolist()]
        return class_splits.indices(kept, dict(zip(kept, sides, strict=True)), str(path))
    return found[0][present]
