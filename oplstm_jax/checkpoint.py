"""Checkpoints with Orbax: the two newest are kept, and the one with the best validation score."""

import contextlib
import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers


class Checkpoints:
    """The checkpoints of one run.

    `quality` is the validation score with its sign such that larger is better. Of equally good ones the first is best.
    """

    def __init__(self, folder: str | Path):
        logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax reports every save
        keep = managers.AnyPreservationPolicy(
            [managers.LatestN(2), managers.BestN(get_metric_fn=_rank, n=1, keep_checkpoints_without_metrics=False)]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=keep,
            best_fn=lambda metrics: metrics["quality"],  # without it Orbax does not write metrics
            cleanup_tmp_directories=True,
        )
        self._manager = ocp.CheckpointManager(Path(folder).absolute(), options=options)

    def save(self, step: int, state: Any, quality: float | None = None) -> None:
        """Saves asynchronously. A checkpoint without quality (between validations) is never the best."""
        metrics = None if quality is None else {"quality": float(quality), "step": step}
        self._manager.save(step, args=ocp.args.StandardSave(state), metrics=metrics)

    def latest(self, like: Any, up_to: int | None = None) -> tuple[int, Any] | None:
        """(step, state) of the newest checkpoint that can be read, or None if there is none at all.

        Unreadable newer ones are named in a warning and, as the run will pass their steps again, deleted, as are all
        that are newer than step `up_to`. Raises ValueError if none of the existing is readable; then none is deleted.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in [step for step in steps if up_to is not None and step > up_to]:
            self._manager.delete(step)
            steps.remove(step)
        for position, step in enumerate(steps):
            with contextlib.suppress(_Unreadable):
                state = self._restore(step, like)
                for unreadable in steps[:position]:
                    self._manager.delete(unreadable)
                return step, state
        if steps:
            raise ValueError(f"{self._manager.directory}: none of the checkpoints ({len(steps)}) fits or can be read")
        return None

    def best_step(self) -> int | None:
        """The step with the best validation score so far, None before the first validation. Waits for pending saves."""
        self.wait()
        infos = {step: self._manager.metrics(step) for step in self._manager.all_steps()}
        ranked = [(_rank(metrics), step) for step, metrics in infos.items() if metrics]
        return max(ranked)[1] if ranked else None

    def best_quality(self) -> float | None:
        """Validation quality of the best step."""
        step = self.best_step()
        return None if step is None else self._manager.metrics(step)["quality"]

    def restore_best(self, like: Any) -> Any:
        """State of the best step. Raises ValueError if there is none or it cannot be read."""
        step = self.best_step()
        if step is None:
            raise ValueError(f"{self._manager.directory}: no validated checkpoint")
        try:
            return self._restore(step, like)
        except _Unreadable as error:
            raise ValueError(str(error)) from None

    def wait(self) -> None:
        """Blocks until everything saved is on the disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits for pending saves and lets go of the folder."""
        self._manager.close()

    def _restore(self, step: int, like: Any) -> Any:
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        try:
            return self._manager.restore(step, args=ocp.args.StandardRestore(shapes))
        except Exception as error:  # Orbax and TensorStore raise many types for a damaged or foreign checkpoint
            reason = str(error).strip().splitlines()
            message = f"checkpoint {self._manager.directory / str(step)} cannot be read: {reason[0] if reason else error!r}"
            logging.getLogger("oplstm_jax").warning(message)
            raise _Unreadable(message) from error


class _Unreadable(Exception):
    pass


def _rank(metrics: dict) -> tuple[float, int]:
    return metrics["quality"], -metrics["step"]
