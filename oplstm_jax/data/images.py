"""Sets of images with classes and class splits: `ImageSet` on the host, `Pool` (classes of one split) on the device.

Dimension letters beside those of `oplstm_jax.types`: I images, H height, W width. Nothing is padded or dropped when
classes differ in size: images lie flat [I, H, W, channels], class after class.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from oplstm_jax.types import Array

log = logging.getLogger("oplstm_jax")
SPLITS = ("train", "validation", "test")


class ImageSet(NamedTuple):
    """Images of many classes, on the host. Made by `image_set`, which checks it.

    name: what the set is called in tables.
    images: uint8 [I, H, W, channels], channels 1 or 3, all images of class 0, then of class 1, and so on.
    counts: int32 [classes], images per class.
    class_names: one distinct name per class.
    class_split: for each class the split it belongs to, an index into `SPLITS`, int8 [classes].
    digest: SHA-256 of everything but the name, so equal digests mean equal episodes from equal keys.
    shared: whether an image of one split is also in another.
    """

    name: str
    images: np.ndarray
    counts: np.ndarray
    class_names: tuple[str, ...]
    class_split: np.ndarray
    digest: str
    shared: bool

    def describe(self) -> str:
        """Counts, sizes, splits, duplicate images and digest, one fact per line."""
        height, width, channels = self.images.shape[1:]
        lines = [
            f"{self.name}: {len(self.images)} images of {len(self.counts)} classes, "
            f"{height}x{width}, {channels} channel{'s' * (channels > 1)}"
        ]
        for index, split in enumerate(SPLITS):
            counts = self.counts[self.class_split == index]
            sizes = f"{counts.min()} to {counts.max()} images each" if len(counts) else "no images"
            lines.append(f"{split}: {len(counts)} classes, {counts.sum()} images, {sizes}")
        digests = image_digests(self.images)
        repeated = len(digests) - len(set(digests))
        shared = "some" if self.shared else "none"
        return "\n".join([*lines, f"repeated images: {repeated}, {shared} in two splits", f"digest: {self.digest}"])


class Pool(NamedTuple):
    """The classes episodes are drawn from, on the device: a pytree of arrays, nothing else.

    images: uint8 [I, H, W, channels].
    members: int32 [classes, most], the images of each class as indices into `images`; rows of smaller classes end
        in zeros that are never read.
    counts: int32 [classes], how many entries of each row count.
    """

    images: Array
    members: Array
    counts: Array


def image_set(
    name: str,
    images: np.ndarray,
    counts: Sequence[int] | np.ndarray,
    class_names: Sequence[str],
    class_split: Sequence[int] | np.ndarray,
    allow_shared: bool = False,
) -> ImageSet:
    """Checks the parts of an `ImageSet` (see there for shapes) and adds the digest.

    allow_shared: accept an image that is in two splits, with a warning, as published data sets must be taken as they
    are; `describe` says so too.

    Raises ValueError for arrays that do not fit together, and where an image of one split is also in another.
    """
    images, counts, class_split = np.asarray(images), np.asarray(counts), np.asarray(class_split)
    class_names = tuple(map(str, class_names))
    _check_parts(name, images, counts, class_names, class_split)
    counts, class_split = counts.astype(np.int32), class_split.astype(np.int8)
    digests = image_digests(images)
    if pair := shared_pair(digests, counts, class_split):
        sides = [f"{class_names[c]!r} ({SPLITS[class_split[c]]})" for c in pair]
        leak = f"{name}: the same image is in class {sides[0]} and in class {sides[1]}"
        if not allow_shared:
            remedy = "remove one of them or put both classes into one split"
            raise ValueError(f"{leak}; expected no image in two splits: {remedy}")
        log.warning("%s: scores on such classes are not those of unseen images", leak)
    header = json.dumps([images.shape, counts.tolist(), class_names, class_split.tolist()]).encode()
    digest = hashlib.sha256(header + b"".join(digests)).hexdigest()
    return ImageSet(name, images, counts, class_names, class_split, digest, pair is not None)


def image_digests(images: np.ndarray) -> list[bytes]:
    """SHA-256 of the pixels of every image."""
    return [hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images]


def shared_pair(digests: Sequence[bytes], counts: np.ndarray, class_split: np.ndarray) -> tuple[int, int] | None:
    """Two classes of different splits that hold the same image, or None."""
    owner: dict[bytes, int] = {}
    for digest, label in zip(digests, np.repeat(np.arange(len(counts)), counts).tolist(), strict=True):
        first = owner.setdefault(digest, label)
        if class_split[first] != class_split[label]:
            return first, label
    return None


def split_classes(data: ImageSet, split: str) -> Pool:
    """Puts the classes of one split ("train", "validation", "test", or "all") on the device, and only these.

    Raises ValueError for an unknown split and for one without classes.
    """
    if split not in (*SPLITS, "all"):
        raise ValueError(f"split is {split!r}; expected one of {', '.join(SPLITS)}, all")
    chosen = np.flatnonzero(data.class_split == SPLITS.index(split)) if split != "all" else None
    part = data if chosen is None else _take_classes(data, chosen)
    if not len(part.counts):
        present = [name for index, name in enumerate(SPLITS) if index in data.class_split]
        raise ValueError(f"{data.name} has no {split} classes; splits with classes: {', '.join(present)}")
    column = np.arange(part.counts.max())[None, :]
    starts = np.cumsum(part.counts) - part.counts
    members = np.where(column < part.counts[:, None], starts[:, None] + column, 0)
    return Pool(jnp.asarray(part.images), jnp.asarray(members, jnp.int32), jnp.asarray(part.counts))


def select_classes(data: ImageSet, names: Sequence[str]) -> ImageSet:
    """The same set with only the classes whose name is in `names`; shell patterns such as "Latin/*" select many.

    Raises ValueError for a name or pattern that selects nothing.
    """
    chosen = set()
    for pattern in names:
        found = [i for i, name in enumerate(data.class_names) if name == pattern or fnmatchcase(name, pattern)]
        if not found:
            some = ", ".join(data.class_names[:4])
            raise ValueError(f"{data.name} has no class {pattern!r}; its classes are {some}, ...")
        chosen.update(found)
    part = _take_classes(data, np.array(sorted(chosen), np.int64))
    return image_set(part.name, part.images, part.counts, part.class_names, part.class_split, allow_shared=True)


def _take_classes(data: ImageSet, chosen: np.ndarray) -> ImageSet:
    keep = np.repeat(np.isin(np.arange(len(data.counts)), chosen), data.counts)
    return data._replace(
        images=data.images[keep],
        counts=data.counts[chosen],
        class_names=tuple(data.class_names[i] for i in chosen),
        class_split=data.class_split[chosen],
    )


def _check_parts(name, images, counts, class_names, class_split) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise ValueError(
            f"{name}: images are {images.dtype} {list(images.shape)}; expected uint8 [I, H, W, channels] "
            "with at least one image and 1 or 3 channels"
        )
    if not counts.ndim == class_split.ndim == 1 or not len(counts) == len(class_names) == len(class_split):
        raise ValueError(
            f"{name}: {counts.size} class counts, {len(class_names)} names and {class_split.size} splits; "
            "expected one of each per class"
        )
    if counts.dtype.kind not in "iu" or class_split.dtype.kind not in "iu":
        raise ValueError(f"{name}: counts are {counts.dtype} and splits {class_split.dtype}; expected integers")
    if counts.min() < 1 or counts.sum() != len(images):
        raise ValueError(f"{name}: classes count {counts.sum()} images (smallest {counts.min()}), not {len(images)}")
    if len(set(class_names)) != len(class_names):
        twice = next(n for n in class_names if class_names.count(n) > 1)
        raise ValueError(f"{name}: class {twice!r} appears twice; expected distinct class names")
    if not np.isin(class_split, range(len(SPLITS))).all():
        found = sorted(set(class_split.tolist()))
        raise ValueError(f"{name}: class splits are {found}; expected 0, 1 or 2 ({', '.join(SPLITS)})")
