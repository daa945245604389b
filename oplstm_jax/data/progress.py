"""A progress bar for what takes seconds: decoding and downloading. Silent where standard error is no terminal."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], what: str) -> Iterator[T]:
    """Yields the items while a bar counts them."""
    return iter(tqdm(items, desc=what, unit="", leave=False, disable=None, delay=1.0))
