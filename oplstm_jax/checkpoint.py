"""Checkpoints with Orbax: the two newest are kept, and the one with the best validation score.

Every checkpoint carries a seal (`seals.py`); one whose state does not match it counts as unreadable.
"""

import contextlib
import gc
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from oplstm_jax import seals
from oplstm_jax.seals import Best


class Checkpoints:
    """The checkpoints of one run.

    `quality` is the validation score with its sign such that larger is better. Of equally good ones the first is best.
    """

    def __init__(self, folder: str | Path):
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax reports every save; what fails is raised here
        self._folder = Path(folder).absolute()
        options = ocp.CheckpointManagerOptions(
            preservation_policy=managers.AnyPreservationPolicy([managers.LatestN(2), self]),
            cleanup_tmp_directories=True,
            lightweight_initialize=True,
        )
        self._manager = ocp.CheckpointManager(self._folder, options=options)
        self._best = seals.newest_best(self._folder, self._manager.all_steps())

    def save(self, step: int, state: Any, quality: float | None = None) -> None:
        """Saves asynchronously. A checkpoint without quality (between validations) is never the best.

        Raises OSError if this or the save before cannot be written; the checkpoints before stay.
        """
        if quality is not None and (self._best is None or quality > self._best.quality):
            self._best = Best(step, float(quality))
        seal = seals.sealed(state, self._best, quality)
        with self._written():
            self._manager.save(step, args=ocp.args.StandardSave(state), custom_metadata=seal)

    def latest(self, like: Any, up_to: int | None = None) -> tuple[int, Any] | None:
        """(step, state) of the newest checkpoint that can be read, or None if there is none at all.

        Unreadable newer ones are named in a warning and, as the run will pass their steps again, deleted, as are all
        that are newer than step `up_to`. A best one that cannot be read is named too. Raises ValueError if none of the
        existing is readable; then none of these is deleted. Waits for pending saves.
        """
        steps = self.steps()[::-1]
        for step in [step for step in steps if up_to is not None and step > up_to]:
            self._manager.delete(step)
            steps.remove(step)
        for position, step in enumerate(steps):
            with contextlib.suppress(_Unreadable):
                state = self._restore(step, like)
                for unreadable in steps[:position]:
                    self._manager.delete(unreadable)
                self._best = self._best_that_is_there()
                for old in steps[position + 2 :]:  # a kill may have come before the newest took their place
                    if self._best is None or old != self._best.step:
                        self._manager.delete(old)
                if self._best is not None and self._best.step != step:
                    with contextlib.suppress(_Unreadable):  # better known now than when all is trained
                        self._restore(self._best.step, like)
                return step, state
        if steps:
            raise ValueError(f"{self._folder}: none of the checkpoints ({len(steps)}) fits or can be read")
        return None

    def steps(self) -> list[int]:
        """The steps that there are checkpoints of, readable or not. Waits for pending saves."""
        self.wait()
        return sorted(self._manager.all_steps())

    def is_readable(self, step: int, like: Any) -> bool:
        """Whether the checkpoint of this step can be read; a warning names one that cannot."""
        with contextlib.suppress(_Unreadable):
            self._restore(step, like)
            return True
        return False

    def best_step(self) -> int | None:
        """The step with the best validation score so far, None before the first validation. Waits for pending saves."""
        self.wait()
        return None if self._best is None else self._best.step

    def best_quality(self) -> float | None:
        """Validation quality of the best step."""
        return None if self._best is None else self._best.quality

    def restore_best(self, like: Any) -> Any:
        """State of the best step. Raises ValueError if there is none, or if it cannot be read.

        Nothing less good takes its place unless somebody takes its folder away: then it is the best of the others.
        """
        step = self.best_step()
        if step is None:
            raise ValueError(f"{self._folder}: no validated checkpoint")
        try:
            return self._restore(step, like)
        except _Unreadable as error:
            others = seals.best_of(self._folder, [other for other in self._manager.all_steps() if other != step])
            choice = f"move its folder away to test step {others.step} instead, or " if others else ""
            raise ValueError(f"the best {error}; {choice}remove the workdir to train again") from None

    def wait(self) -> None:
        """Blocks until everything saved is on the disk. Raises OSError if it cannot be written."""
        with self._written():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Lets go of the folder, after pending saves have ended."""
        with contextlib.suppress(Exception):  # a save that failed was raised by `wait` or is repeated by a later run
            self._manager.close()

    def should_preserve(self, checkpoints: Sequence[managers.PolicyCheckpointInfo], *, context: Any) -> list[bool]:
        """Orbax's question which checkpoints to keep, beside the newest."""
        return [self._best is not None and info.step == self._best.step for info in checkpoints]

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Orbax and TensorStore raise many types for a disk that is full or went away
            _raise_signal(error)
            reason = _cause(error)
            raise OSError(f"{self._folder}: checkpoint cannot be written: {reason}; the ones before it stay") from error

    def _restore(self, step: int, like: Any) -> Any:
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        with _quiet():
            try:
                return self._checked(step, shapes)
            except Exception as error:  # Orbax and TensorStore raise many types for a damaged or foreign checkpoint
                _raise_signal(error)
                message = f"checkpoint {self._folder / str(step)} cannot be read: {_cause(error)}"
            time.sleep(0.2)  # the other reads end in threads of TensorStore, and complain that nobody waits
            gc.collect()
        logging.getLogger("oplstm_jax").warning(message)
        raise _Unreadable(message)

    def _checked(self, step: int, shapes: Any) -> Any:
        seal = seals.read_seal(self._folder, step)
        state = self._manager.restore(step, args=ocp.args.StandardRestore(shapes))
        seals.check_seal(seal, state)
        return state

    def _best_that_is_there(self) -> Best | None:
        """The best step; if somebody took its folder away, the best of the others, which a warning says."""
        steps = self._manager.all_steps()
        best = seals.newest_best(self._folder, steps)
        if best is None or best.step in steps:
            return best
        others = seals.best_of(self._folder, steps)
        left = f"the best of those left is {others.step}" if others else "none of those left is validated"
        gone = self._folder / str(best.step)
        logging.getLogger("oplstm_jax").warning(f"checkpoint {gone}, the best, is gone; {left}")
        return others


class _Unreadable(Exception):
    pass


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps tasks that a failing restore leaves behind from printing what is reported in one line; signals pass."""
    logger, hook = logging.getLogger("asyncio"), sys.unraisablehook
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    sys.unraisablehook = lambda lost: hook(lost) if isinstance(lost.exc_value, KeyboardInterrupt) else None
    try:
        yield
    finally:
        logger.setLevel(level)
        sys.unraisablehook = hook


def _raise_signal(error: BaseException) -> None:
    """Raises the signal behind an error, if one is: Orbax wraps what comes while it reads or writes in its own."""
    for behind in _chain(error):
        if isinstance(behind, KeyboardInterrupt):
            raise behind


def _cause(error: BaseException) -> str:
    """The first line of an error, of the operating system's where one is behind it."""
    told = next((e for e in reversed(_chain(error)) if isinstance(e, OSError)), error)
    if code := re.search(r"os_error_code='(\d+)'", str(told)):
        return os.strerror(int(code[1]))
    return next((line.strip() for line in str(told).splitlines() if line.strip()), repr(told))


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what is behind it, newest first."""
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) and before not in chain:
        chain.append(before)
    return chain
