"""Downloads that are verified before they appear under their name."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from oplstm_jax.data.cache import cache_dir
from oplstm_jax.data.progress import progress
from oplstm_jax.files import atomic

BLOCK = 1 << 20
TIMEOUT_SECONDS = 30


def download_dir() -> Path:
    """Where archives lie, downloaded or put there by hand."""
    return cache_dir() / "downloads"


def fetch(url: str, filename: str, size: int, sha256: str) -> Path:
    """The path of a file with this SHA-256: the one already in `download_dir()`, else downloaded.

    Raises ValueError if it cannot be had, with what to fetch by hand and where to put it, and for a wrong checksum.
    """
    path = download_dir() / filename
    if path.is_file():
        _check(file_sha256(path), sha256, f"{path}: file", "delete it and try again")
        return path
    by_hand = f"fetch it by hand and put it at {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response, atomic(path) as file:
            digest = hashlib.sha256()
            for start in progress(range(0, size + 1, BLOCK), f"downloading {filename}, MiB"):
                block = response.read(min(BLOCK, size + 1 - start))  # one byte more than expected shows a wrong file
                digest.update(block)
                file.write(block)
            _check(digest.hexdigest(), sha256, url, by_hand)
    except (OSError, http.client.HTTPException, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        raise ValueError(f"cannot download {url} ({reason}); {by_hand}") from error
    return path


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(found: str, expected: str, what: str, remedy: str) -> None:
    if found != expected:
        raise ValueError(f"{what} has SHA-256 {found}; expected {expected}; {remedy}")
