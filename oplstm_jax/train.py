"""The only training loop: restore -> chunks of meta-steps on the device -> log -> validate -> save -> test."""

import contextlib
import logging
import signal
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from oplstm_jax import params as params_files
from oplstm_jax import signals
from oplstm_jax.checkpoint import Checkpoints
from oplstm_jax.problem import Problem, Settings
from oplstm_jax.program import Program, make_program
from oplstm_jax.progress import Progress
from oplstm_jax.seeds import unstack
from oplstm_jax.sharding import agreed
from oplstm_jax.statistics import Estimate, estimate
from oplstm_jax.workdir import Workdir, write_result

SAVE_SECONDS = 600  # at the latest after so long a checkpoint is written, also between validations
log = logging.getLogger("oplstm_jax")


class Tested(NamedTuple):
    """The outcome of a run: tested parameters, per-task scores [n], their estimate, and how they were come by."""

    params: Any
    scores: np.ndarray
    estimate: Estimate
    best_step: int
    validation_score: float
    seconds: float
    input_shape: tuple[int, ...]


class Run(NamedTuple):
    """What one run keeps on the disk."""

    workdir: Workdir
    checkpoints: Checkpoints


def train(problem: Problem, settings: Settings, workdir: Workdir) -> Tested:
    """Meta-trains in `workdir`, resuming what is there, and tests the parameters with the best validation score.

    All devices that share the meta-batch evenly take part.

    Raises signals.Interrupted after SIGTERM or SIGINT (the state is saved), FloatingPointError for a loss that is not
    finite, ValueError if there are checkpoints but none fits.
    """
    return train_seeds(problem, settings, [workdir])[0]


def train_seeds(problem: Problem, settings: Settings, workdirs: Sequence[Workdir]) -> list[Tested]:
    """The same for a run in each of the workdirs, all in one program: their seeds are settings.seed and those after it.

    Each is what it would be alone, up to the order of summation.
    """
    program = make_program(problem, settings, len(workdirs))
    fresh = [{"state": state, "seconds": np.zeros((), np.float32)} for state in program.fresh]
    with contextlib.ExitStack() as open_files:
        files = [open_files.enter_context(contextlib.closing(Checkpoints(workdir.checkpoints))) for workdir in workdirs]
        runs = [Run(*pair) for pair in zip(workdirs, files, strict=True)]
        seconds = _train(problem, settings, program, runs, _restored(runs, fresh))
        return [_tested(problem, program, run, like, seconds) for run, like in zip(runs, fresh, strict=True)]


def _restored(runs: list[Run], fresh: list[dict]) -> list[dict]:
    """The newest state that all runs have saved; `fresh` if there is none. Later metrics and checkpoints are dropped."""
    pairs = list(zip(runs, fresh, strict=True))
    found = [run.checkpoints.latest(like) or (0, like) for run, like in pairs]
    common = min(step for step, _ in found)
    for position, (run, like) in enumerate(pairs):
        if found[position][0] > common:
            found[position] = run.checkpoints.latest(like, up_to=common) or (0, like)
        if found[position][0] != common:
            raise ValueError(f"{run.workdir.path}: no checkpoint of step {common}, which the other seeds are at")
        run.workdir.keep_metrics_up_to(common)
    if common:
        log.info("resuming at step %d", common)
    return [saved for _, saved in found]


def _train(problem: Problem, settings: Settings, program: Program, runs: list[Run], saved: list[dict]) -> float:
    """The loop itself, from the saved states to the last step; returns the training seconds of this and earlier sittings."""
    state, before = program.join([run["state"] for run in saved]), float(saved[0]["seconds"])
    done, total, validate_every = int(saved[0]["state"].step), *map(settings.steps, (settings.train_tasks, settings.validate_every))
    state, _ = program.advance(state, 0)  # compiles, so that rates are those of the work itself
    progress, began, last_save = Progress(total * settings.meta_batch), time.monotonic(), time.monotonic()
    with signals.collected() as caught:
        while done < total:
            goal = min(total, _next(done, settings.steps(settings.log_every)), _next(done, validate_every))
            state, lines = _advance(program, state, done, goal, settings.meta_batch, len(runs))
            done, validated = goal, goal % validate_every == 0 or goal == total
            if validated:
                _validate(problem, settings, program, state, lines)
            for run, line in zip(runs, lines, strict=True):
                run.workdir.log(line)
            progress.show({key: type(value)(np.mean([line[key] for line in lines])) for key, value in lines[0].items()})
            stop, late = agreed(bool(caught), time.monotonic() - last_save > SAVE_SECONDS)
            if validated or stop or late:
                last_save = time.monotonic()
                _save(problem, runs, state, lines, before + last_save - began)
            if stop:
                for run in runs:
                    run.checkpoints.wait()
                raise signals.Interrupted((caught or [signal.SIGTERM])[0])
    return before + time.monotonic() - began


def _advance(program: Program, state, done: int, goal: int, meta_batch: int, count: int):
    """Meta-steps `done` to `goal`: (state, line of metrics of each run). Raises FloatingPointError for a loss not finite."""
    start = time.monotonic()
    state, means = program.advance(state, goal - done)
    losses, scores = (np.reshape(values, count).tolist() for values in means)
    rate = (goal - done) * meta_batch / (time.monotonic() - start)
    if not np.isfinite(losses).all():
        raise FloatingPointError(f"loss is {', '.join(map(str, losses))} between steps {done} and {goal}")
    facts = {"step": goal, "tasks": goal * meta_batch}
    pairs = zip(losses, scores, strict=True)
    return state, [{**facts, "loss": loss, "score": score, "tasks_per_second": rate} for loss, score in pairs]


def _validate(problem: Problem, settings: Settings, program: Program, state, lines: list[dict]) -> None:
    """Adds the validation score of each run to its line, and says which are still at chance when they should not be."""
    for line, params in zip(lines, unstack(state.params, len(lines)), strict=True):
        line |= problem.probe(params) if problem.probe else {}
        line["validation_score"] = score = float(jnp.mean(program.scores(params, "validation")))
        if line["tasks"] >= settings.patience_tasks and problem.at_chance(score):
            message = "still at chance after %d tasks: validation %s %.4g, chance %.4g (some starts have long plateaus)"
            log.warning(message, line["tasks"], problem.metric, score, problem.chance)


def _save(problem: Problem, runs: list[Run], state, lines: list[dict], seconds: float) -> None:
    for run, line, own in zip(runs, lines, unstack(state, len(runs)), strict=True):
        quality = problem.quality(line["validation_score"]) if "validation_score" in line else None
        run.checkpoints.save(line["step"], {"state": own, "seconds": np.asarray(seconds, np.float32)}, quality)


def _tested(problem: Problem, program: Program, run: Run, like: dict, seconds: float) -> Tested:
    """Tests the parameters with the best validation score."""
    best, validation = run.checkpoints.best_step(), run.checkpoints.best_quality() * problem.quality(1.0)
    params = run.checkpoints.restore_best(like)["state"].params
    scores = np.asarray(program.scores(params, "test"))
    return Tested(params, scores, estimate(scores), best, validation, seconds, program.input_shape)


def _next(done: int, every: int) -> int:
    return (done // every + 1) * every


def finish(problem: Problem, tested: Tested, workdir: Workdir, facts: dict) -> dict:
    """Writes the outcome of a run into its workdir, result.json last, and returns what that holds."""
    result = {
        "metric": problem.metric,
        "score": tested.estimate.mean,
        "interval": tested.estimate.interval,
        "test_tasks": tested.estimate.count,
        "best_step": tested.best_step,
        "validation_score": tested.validation_score,
        "wall_seconds": tested.seconds,
        "input_shape": list(tested.input_shape),
        "params_sha256": params_files.sha256(tested.params),
        **facts,
    }
    if workdir.writes:
        params_files.save(workdir.path / "params.npz", tested.params)
        write_result(workdir.path, result, tested.scores)
    return result
