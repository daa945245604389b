"""Files that are there whole or not at all, and archives of arrays that cannot run code."""

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

MAX_BYTES = 64 * 2**30  # of all arrays of an archive together
PARTIAL = ".partial"  # how the hidden files end that a killed process may leave behind


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[IO[bytes]]:
    """`with atomic(path) as file`: a binary file that replaces `path` when the block ends well, else vanishes.

    Its bytes are on the disk before it appears under its name. Raises OSError, naming it, where it cannot be written.
    """
    path = Path(path)
    with naming(path):
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(partial, 0o644)
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives an OSError of the block that names no file, as of a full disk, or a hidden partial one, this name."""
    try:
        yield
    except OSError as error:
        named = error.filename is not None and not str(error.filename).endswith(PARTIAL)
        if named or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def append_line(path: str | Path, text: str) -> None:
    """Appends a line to a text file; it is on the disk on return. Raises OSError, naming it, where that fails."""
    with naming(Path(path)), open(path, "a") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())


def check_writable(path: str | Path) -> None:
    """Raises ValueError for a file that could not be written: its folder is not there, or it is a folder itself.

    For commands that would otherwise only find out when their work is done.
    """
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        reason = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise ValueError(f"{path}: cannot be written: {reason}; expected a file in a folder that is there")


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file atomically."""
    with atomic(path) as file:
        file.write(text.encode())


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz as `numpy.savez` does, whole or not at all; an array may have any name.

    Raises OSError where it cannot be written, ValueError for arrays of Python objects.
    """
    with atomic(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def read_arrays(path: str | Path, what: str) -> dict[str, np.ndarray]:
    """All arrays of an .npz of bounded size, without pickled objects.

    Raises ValueError, saying that `what` cannot be read, for any other file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            raise ValueError(f"its arrays take {size} bytes, more than {MAX_BYTES}")
        with np.load(path, allow_pickle=False) as file:
            return {name: _array(file[name]) for name in file.files}
    except Exception as error:  # damaged archives raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: cannot read {what} ({reason}); expected an .npz file of plain arrays") from None


def _array(content: np.ndarray | bytes) -> np.ndarray:
    if not isinstance(content, np.ndarray):
        raise ValueError("a member is no array")
    return content
