"""What runs that are trained together keep on the disk: a workdir and checkpoints each, all at the same step."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from oplstm_jax.checkpoint import Checkpoints
from oplstm_jax.meta import MetaState
from oplstm_jax.workdir import Workdir


class Run(NamedTuple):
    """The files of one run."""

    workdir: Workdir
    checkpoints: Checkpoints


class Saved(NamedTuple):
    """What a checkpoint holds: the state of a run, and how long it took to get there, in seconds (scalar).

    Of the time of a program that trains several runs each has an equal share.
    """

    state: MetaState
    seconds: Any


@contextlib.contextmanager
def opened(workdirs: Sequence[Workdir]) -> Iterator[list[Run]]:
    """The runs of these workdirs; pending saves end before it is left."""
    with contextlib.ExitStack() as stack:
        yield [Run(w, stack.enter_context(contextlib.closing(Checkpoints(w.checkpoints)))) for w in workdirs]


def restored(runs: Sequence[Run], fresh: Sequence[MetaState]) -> list[Saved]:
    """The newest state that all runs have saved, their fresh ones if there is none.

    Where some have a later one too, as after a kill while all were saved, it is dropped. Raises ValueError if there are
    checkpoints, but none fits all, and rather than drop all that a run has if that is more than its first; then nothing
    is dropped.
    """
    likes = [_tree(Saved(state, 0.0)) for state in fresh]
    common = _newest_common(runs, likes) if len(runs) > 1 else None
    found = [run.checkpoints.latest(like, up_to=common) for run, like in zip(runs, likes, strict=True)]
    return [Saved(**pair[1]) if pair else Saved(state, 0.0) for pair, state in zip(found, fresh, strict=True)]


def _newest_common(runs: Sequence[Run], likes: Sequence[dict]) -> int:
    """The newest step that all runs can go on from, 0 if that is their start."""
    steps = [run.checkpoints.steps() for run in runs]
    shared = sorted(set.intersection(*map(set, steps)), reverse=True)
    for step in shared:
        if all(run.checkpoints.is_readable(step, like) for run, like in zip(runs, likes, strict=True)):
            return step
    ahead = max(zip(map(len, steps), runs, strict=True), key=lambda pair: pair[0])[1].workdir.path
    if shared:
        raise ValueError(f"{ahead}: none of the steps that all seeds have ({len(shared)}) fits or can be read")
    if all(steps):
        raise ValueError(f"{ahead}: no step is saved of it and of the other seeds too: finish each without the others")
    if max(map(len, steps)) > 1:
        raise ValueError(f"{ahead}: other seeds have not begun: finish this one without them first")
    return 0  # killed while the first checkpoints were saved


def best(run: Run, fresh: MetaState) -> tuple[Any, Any, Any]:
    """(step, quality, meta-parameters) of the run's best validation. Raises ValueError if they cannot be read."""
    saved = run.checkpoints.restore_best(_tree(Saved(fresh, 0.0)))
    return run.checkpoints.best_step(), run.checkpoints.best_quality(), saved["state"].params


def save(runs: Sequence[Run], states: Sequence[MetaState], step: int, seconds: float, qualities: Sequence) -> None:
    """Saves the state of every run; quality: of its validation at this step, None if there was none.

    What was saved before is on the disk of all by then, so that they have a step in common at any moment.
    """
    wait(runs)
    for run, state, quality in zip(runs, states, qualities, strict=True):
        run.checkpoints.save(step, _tree(Saved(state, seconds)), quality)


def wait(runs: Sequence[Run]) -> None:
    """Blocks until everything saved is on the disk."""
    for run in runs:
        run.checkpoints.wait()


def _tree(saved: Saved) -> dict[str, Any]:
    return {"state": saved.state, "seconds": np.asarray(saved.seconds, np.float32)}
