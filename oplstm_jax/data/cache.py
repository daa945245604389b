"""Image sets in the user's cache directory: one .npz per name, written whole or not at all."""

import contextlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from oplstm_jax.data.images import ImageSet
from oplstm_jax.files import atomic, read_arrays, write_arrays

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def cache_dir() -> Path:
    """$OPLSTM_CACHE, or oplstm_jax in the platform's cache directory."""
    if os.environ.get("OPLSTM_CACHE"):
        return Path(os.environ["OPLSTM_CACHE"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "oplstm_jax"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "oplstm_jax"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "oplstm_jax"


def pack_path(name: str) -> Path:
    """Where the prepared set `name` lies. Raises ValueError for what is no name."""
    if not NAME.fullmatch(name):
        raise ValueError(f"data set name is {name!r}; expected letters, digits, _ and - (at most 64)")
    return cache_dir() / f"{name}.npz"


def is_prepared(name: str) -> bool:
    """Whether a set was prepared under this name."""
    return bool(NAME.fullmatch(name)) and pack_path(name).is_file()


def prepared() -> list[str]:
    """The names of all prepared sets."""
    return sorted(path.stem for path in cache_dir().glob("*.npz") if NAME.fullmatch(path.stem))


def save(image_set: ImageSet) -> Path:
    """Writes a set as the prepared set of its name and returns the path.

    The file appears under its name only when it is complete and on the disk. Raises ValueError where it cannot be
    written.
    """
    path = pack_path(image_set.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_pack(path, image_set)
    except OSError as error:
        reason = f"{error.strerror}; the variable OPLSTM_CACHE chooses another place"
        raise ValueError(f"{path}: cannot write prepared set ({reason})") from error
    return path


def write_pack(path: Path, image_set: ImageSet) -> None:
    """Writes a set as an .npz pack, whole or not at all. Raises OSError where it cannot be written.

    A set that has an image in two splits, as published ones may, says so in its pack: it can be loaded all the same.
    """
    arrays = {
        "images": image_set.images,
        "labels": np.repeat(np.arange(len(image_set.counts)), image_set.counts),
        "class_names": np.array(image_set.class_names, dtype=np.str_),
        "class_split": image_set.class_split,
        "digest": np.array(image_set.digest),
        "allow_shared": np.array(image_set.shared),
    }
    write_arrays(path, arrays)


def kept(name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """What `make` returns, or the copy that an earlier call under this name left.

    A copy that is damaged, or no place for one, costs the time of making it and nothing else.
    """
    path = cache_dir() / "made" / f"{name}.npz"
    with contextlib.suppress(ValueError, KeyError):
        return read_arrays(path, name)["images"]
    images = make()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as file:
            np.savez_compressed(file, images=images)
    return images
