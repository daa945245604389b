"""Files that are there whole or not at all, and archives of arrays that cannot run code."""

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

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
    """Gives an OSError of the block that names no file, as of a full disk, the name of this one."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def append_line(path: str | Path, text: str) -> None:
    """Appends a line to a text file; it is on the disk on return. Raises OSError, naming it, where that fails."""
    with naming(Path(path)), open(path, "a") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file atomically."""
    with atomic(path) as file:
        file.write(text.encode())


def read_arrays(path: str | Path, what: str) -> dict[str, np.ndarray]:
    """All arrays of an .npz. Raises ValueError, saying that the file is not `what`, if it cannot be read."""
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: cannot be read as {what}: {error}") from None
