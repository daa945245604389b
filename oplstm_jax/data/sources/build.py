"""Encoded image files, listed by class -> an `ImageSet`: the common end of every source that reads files."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from oplstm_jax.data import class_splits
from oplstm_jax.data.decode import MAX_BYTES, SUFFIXES, decode
from oplstm_jax.data.images import ImageSet, image_set
from oplstm_jax.data.progress import progress

BATCH = 128  # files read before they are decoded side by side


class File(NamedTuple):
    """One encoded image: what errors call it, and how to read its bytes."""

    source: str
    read: Callable[[], bytes]


class Form(NamedTuple):
    """The form all images of a set are brought into; see `oplstm_jax.data.decode.decode`."""

    size: int = 84
    channels: int = 3
    invert: bool = False


def build_set(
    name: str, files: Mapping[str, Sequence[File]], split: Mapping[str, str], form: Form, allow_shared: bool = False
) -> ImageSet:
    """Decodes the files of every class, in the given order; arguments as `oplstm_jax.data.images.image_set`.

    Raises ValueError for classes that `split` lacks and files that cannot be decoded.
    """
    class_split = class_splits.indices(files, split, name)
    flat = [file for members in files.values() for file in members]
    images = np.empty((len(flat), form.size, form.size, form.channels), np.uint8)
    with ThreadPoolExecutor() as pool:
        for start in progress(range(0, len(flat), BATCH), f"decoding {name}, {BATCH} images at a time"):
            batch = [(file.read(), file.source) for file in flat[start : start + BATCH]]
            for i, image in enumerate(pool.map(lambda item: decode(item[0], item[1], *form), batch)):
                images[start + i] = image
    counts = [len(members) for members in files.values()]
    return image_set(name, images, counts, list(files), class_split, allow_shared)


def path_file(path: Path) -> File:
    """An image file on the disk."""
    return File(str(path), lambda: read_path(path))


def read_path(path: Path) -> bytes:
    """The bytes of a file of bounded size. Raises ValueError where it cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path}: file has {path.stat().st_size} bytes; expected at most {MAX_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot read file ({error.strerror})") from error


def subfolders(path: Path) -> list[Path]:
    """Folders in `path` by name, without hidden ones. Raises ValueError where `path` cannot be listed."""
    return [entry for entry in _listed(path) if entry.is_dir()]


def image_paths(path: Path) -> list[Path]:
    """Image files directly in `path` by name, hidden ones and other kinds of files left out."""
    return [entry for entry in _listed(path) if entry.suffix.lower() in SUFFIXES and entry.is_file()]


def _listed(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if not entry.name.startswith((".", "__MACOSX")))
    except OSError as error:
        raise ValueError(f"{path}: cannot list folder ({error.strerror}); expected a readable folder") from error
