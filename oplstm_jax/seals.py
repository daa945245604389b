"""What a checkpoint says of itself, beside its state, in the metadata file that Orbax keeps with it.

A seal holds the digest of the state, the checkpoint's own validation quality, and which step was best when it was
written. Orbax itself does not notice every changed byte; a state whose digest differs is not what was saved.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from oplstm_jax.params import sha256

NAME, METADATA = "oplstm_jax", "_CHECKPOINT_METADATA"
NO_SEAL = (OSError, ValueError, KeyError, TypeError, AttributeError)  # of a metadata file that is missing or damaged


class Best(NamedTuple):
    """The step with the best validation score so far, and its quality."""

    step: int
    quality: float


def sealed(state: Any, best: Best | None, quality: float | None) -> dict[str, Any]:
    """Metadata with the seal of a state; quality: of its validation, None if there was none at its step."""
    seal: dict[str, Any] = {"best": best, "quality": None if quality is None else float(quality)}
    return {NAME: {**seal, "sha256": _digest(state, seal)}}


def read_seal(folder: Path, step: int) -> dict[str, Any] | None:
    """The seal of a checkpoint; None for one of an earlier version, which had none. Raises one of NO_SEAL."""
    own = json.loads((folder / str(step) / METADATA).read_text())["custom_metadata"]
    return own[NAME] if own else None


def check_seal(seal: dict[str, Any] | None, state: Any) -> None:
    """Raises ValueError if a state is not the one that was sealed."""
    if seal is not None and seal["sha256"] != _digest(state, seal):
        raise ValueError("its content does not match its digest")


def newest_best(folder: Path, steps: Iterable[int]) -> Best | None:
    """The best step, by the newest of these checkpoints whose seal can be read."""
    steps = sorted(steps, reverse=True)
    for step in steps:
        with contextlib.suppress(*NO_SEAL):
            if (seal := read_seal(folder, step)) is None:
                return best_of(folder, steps)
            return seal["best"] and Best(*seal["best"])
    return None


def best_of(folder: Path, steps: Iterable[int]) -> Best | None:
    """The best of these steps by their own qualities, the first of equally good ones, None if none is known."""
    found = []
    for step in steps:
        with contextlib.suppress(*NO_SEAL):
            if (quality := _quality(folder, step)) is not None:
                found.append(Best(step, float(quality)))
    return max(found, key=lambda best: (best.quality, -best.step), default=None)


def _quality(folder: Path, step: int) -> float | None:
    """The validation quality of a checkpoint; one of an earlier version has it where Orbax keeps metrics."""
    if (seal := read_seal(folder, step)) is not None:
        return seal.get("quality")
    return json.loads((folder / str(step) / "metrics" / "metrics").read_text())["quality"]


def _digest(state: Any, seal: dict[str, Any]) -> str:
    """SHA-256 of the arrays of a state and of what else its seal says; the first seals did not know the quality."""
    said = [seal[name] for name in ("best", "quality") if name in seal]
    return hashlib.sha256(json.dumps([sha256(state), *said]).encode()).hexdigest()
