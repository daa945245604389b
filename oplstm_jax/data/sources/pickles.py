"""Pickles of plain containers and numpy arrays, read without running anything they name."""

import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

MAX_BYTES = 16 * 2**30


def load_arrays(path: Path) -> Any:
    """The content of a pickle made of dictionaries, lists, numbers, strings and numpy arrays.

    Raises ValueError for a pickle that asks for anything else, and for a damaged one.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"file has {path.stat().st_size} bytes, more than {MAX_BYTES}")
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except ValueError:
        raise
    except Exception as error:  # damaged pickles raise nearly anything
        raise ValueError(f"{error or type(error).__name__}") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Finds only what numpy arrays and strings are rebuilt with; every other name is refused."""

    allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("collections", "OrderedDict"): dict,
        ("_codecs", "encode"): lambda text, encoding="latin1": text.encode("latin1"),
    }
    rebuilders = ("_reconstruct", "scalar")
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self.allowed:
            return self.allowed[module, name]
        if module in self.modules and name in self.rebuilders:
            return getattr(np._core.multiarray, name)  # type: ignore[attr-defined]
        if name == "_frombuffer" and module in ("numpy.core.numeric", "numpy._core.numeric"):
            return np._core.numeric._frombuffer  # type: ignore[attr-defined]
        raise ValueError(f"it names {module}.{name}, which is not loaded for safety")
