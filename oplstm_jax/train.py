"""The only training loop: restore -> chunks of meta-steps on the device -> log -> validate -> save -> test."""

import logging
import signal
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from oplstm_jax import finite, runs, signals
from oplstm_jax import params as params_files
from oplstm_jax.meta import MetaState
from oplstm_jax.problem import Problem, Settings
from oplstm_jax.program import Program, make_program
from oplstm_jax.progress import Progress
from oplstm_jax.records import write_result
from oplstm_jax.runs import Run, Saved
from oplstm_jax.seeds import unstack
from oplstm_jax.sharding import agreed
from oplstm_jax.statistics import Estimate, estimate
from oplstm_jax.workdir import Workdir

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


def train(problem: Problem, settings: Settings, workdir: Workdir) -> Tested:
    """Meta-trains in `workdir`, resuming what is there, and tests the parameters with the best validation score.

    All devices that share the meta-batch evenly take part.

    Raises signals.Interrupted after SIGTERM or SIGINT (the state is saved), FloatingPointError, saying where, for a
    loss, parameters or scores that are not finite, ValueError if there are checkpoints but none fits.
    """
    return train_seeds(problem, settings, [workdir])[0]


def train_seeds(problem: Problem, settings: Settings, workdirs: Sequence[Workdir]) -> list[Tested]:
    """The same for a run in each of the workdirs, all in one program: their seeds are settings.seed and those after it.

    Each is what it would be alone, up to the order of summation.
    """
    program = make_program(problem, settings, len(workdirs))
    with runs.opened(workdirs) as files:
        saved = runs.restored(files, program.fresh())
        if done := int(saved[0].state.step):
            log.info("resuming at step %d", done)
        for run in files:
            run.workdir.keep_metrics_up_to(done)
        try:
            seconds = _train(problem, settings, program, files, saved)
        except finite.NotFinite as error:
            state = program.join([saved.state for saved in runs.restored(files, program.fresh())])
            raise FloatingPointError(finite.locate(program.advance, state, error)) from None
        return [_tested(problem, program, *pair, seconds) for pair in zip(files, program.fresh(), strict=True)]


def _train(problem: Problem, settings: Settings, program: Program, files: list[Run], saved: list[Saved]) -> float:
    """The loop itself, from the saved states to the last step; returns the seconds of this and earlier sittings.

    They are those of all runs together: of earlier sittings too, in which others may have shared the program.
    """
    state, count = program.join([run.state for run in saved]), len(files)
    before = float(np.mean([run.seconds for run in saved]))  # of each of them
    total, validate_every = settings.steps(settings.train_tasks), settings.steps(settings.validate_every)
    done = int(saved[0].state.step)
    state, _ = program.advance(state, 0)  # compiles, so that rates are those of the work itself
    progress, began, last_save = Progress(total * settings.meta_batch), time.monotonic(), time.monotonic()
    with signals.collected() as caught:
        while done < total:
            goal = min(total, _next(done, settings.steps(settings.log_every)), _next(done, validate_every))
            state, lines = _advance(program, settings, state, done, goal, count)
            done, validates = goal, goal % validate_every == 0 or goal == total
            qualities = _validate(problem, settings, program, state, lines) if validates else [None] * count
            for run, line in zip(files, lines, strict=True):
                run.workdir.log(line)
            progress.show(_mean_line(lines))
            stop, late = agreed(bool(caught), time.monotonic() - last_save > SAVE_SECONDS)
            if validates or stop or late:
                last_save = time.monotonic()
                runs.save(files, unstack(state, count), done, before + (last_save - began) / count, qualities)
            if stop:
                break
        if agreed(bool(caught))[0]:  # maybe while the last state was saved, or in another process alone
            runs.wait(files)
            raise signals.Interrupted((caught or [signal.SIGTERM])[0])
    return before * count + time.monotonic() - began


def _advance(program: Program, settings: Settings, state, done: int, goal: int, count: int):
    """Meta-steps `done` to `goal`: (state, line of metrics of each run). Raises as `finite.check_chunk`."""
    start, meta_batch = time.monotonic(), settings.meta_batch
    skipped = np.broadcast_to(finite.skipped(state), count).tolist() if settings.skip_nonfinite else [None] * count
    with jax.debug_nans(False):  # what is not finite is looked for below, and better
        state, means = program.advance(state, goal - done)
    losses, scores = (np.asarray(values).reshape(count).tolist() for values in means)
    rate = (goal - done) * meta_batch / (time.monotonic() - start)
    facts = {"step": goal, "tasks": goal * meta_batch, "tasks_per_second": rate}
    lines = [{**facts, "loss": loss, "score": score} for loss, score in zip(losses, scores, strict=True)]
    each = zip(unstack(state, count), lines, skipped, strict=True)
    return state, [finite.check_chunk(own, line, done, before) for own, line, before in each]


def _mean_line(lines: list[dict]) -> dict:
    """Of the lines of all runs; without the fields that one of them lacks."""
    shared = set.intersection(*map(set, lines))
    return {key: type(lines[0][key])(np.mean([line[key] for line in lines])) for key in shared}


def _validate(problem: Problem, settings: Settings, program: Program, state, lines: list[dict]) -> list[float]:
    """Adds validation scores to the lines and returns qualities; names runs still at chance when they should not be."""
    for line, params in zip(lines, unstack(state.params, len(lines)), strict=True):
        line |= {name: float(value) for name, value in problem.probe(params).items()} if problem.probe else {}
        scores = np.asarray(program.scores(params, "validation"))
        finite.check_scores(scores, "validation")
        line["validation_score"] = score = float(jnp.mean(scores))
        if line["tasks"] >= settings.patience_tasks and problem.at_chance(score):
            message = "still at chance after %d tasks: validation %s %.4g, chance %.4g (some starts have long plateaus)"
            log.warning(message, line["tasks"], problem.metric, score, problem.chance)
    return [problem.quality(line["validation_score"]) for line in lines]


def _tested(problem: Problem, program: Program, run: Run, fresh: MetaState, seconds: float) -> Tested:
    """Tests the parameters with the best validation score."""
    step, quality, params = runs.best(run, fresh)
    scores = np.asarray(program.scores(params, "test"))
    finite.check_scores(scores, "test")
    return Tested(params, scores, estimate(scores), step, problem.quality(quality), seconds, program.input_shape)


def _next(done: int, every: int) -> int:
    return (done // every + 1) * every


def finish(problem: Problem, tested: Tested, workdir: Workdir, facts: dict) -> dict:
    """Writes the outcome of a run into its workdir, result.json last, and returns what that holds.

    facts: what else it says, such as `origin.facts()`, which tables ask for. `config` is the workdir's unless given;
    runs whose `task_list`, the digest of their test tasks (`task_lists.task_list_digest`), is the same are compared
    task by task.

    Where the parameters of the best validation were lost, and others had to be tested, it says so: `lost_best_step`.
    """
    validated = [line for line in workdir.metrics() if "validation_score" in line]
    if not validated:
        raise ValueError(f"{workdir.path}: metrics.jsonl tells of no validation: expected the lines of this run")
    best = max(validated, key=lambda line: (problem.quality(line["validation_score"]), -line["step"]))["step"]
    lost = {} if best == tested.best_step else {"lost_best_step": best}
    result = {
        "metric": problem.metric,
        "score": tested.estimate.mean,
        "interval": tested.estimate.interval,
        "test_tasks": tested.estimate.count,
        "best_step": tested.best_step,
        **lost,
        "validation_score": tested.validation_score,
        "wall_seconds": tested.seconds,
        "input_shape": list(tested.input_shape),
        "params_sha256": params_files.sha256(tested.params),
        "config": workdir.config,
        **facts,
    }
    if workdir.writes:
        params_files.save(workdir.path / "params.npz", tested.params)
        write_result(workdir.path, result, tested.scores)
    return result
