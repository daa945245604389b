"""The only training loop: restore -> chunks of meta-steps on the device -> log -> validate -> save -> test."""

import functools
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from oplstm_jax import params as params_files
from oplstm_jax import signals
from oplstm_jax.checkpoint import Checkpoints
from oplstm_jax.evaluate import make_evaluate, task_keys
from oplstm_jax.meta import init_state, make_chunk, make_step
from oplstm_jax.problem import Problem, Settings
from oplstm_jax.progress import Progress
from oplstm_jax.statistics import Estimate, estimate
from oplstm_jax.types import Params
from oplstm_jax.workdir import Workdir, write_result

Probe = Callable[[Params], dict[str, float]]  # what a run measures at every validation: fields of metrics.jsonl
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


def make_optimiser(settings: Settings) -> optax.GradientTransformation:
    """Adam with its default moments, after clipping every entry of the meta-gradient where asked (SPEC §7)."""
    adam = optax.adam(settings.learning_rate)
    return adam if settings.outer_clip is None else optax.chain(optax.clip(settings.outer_clip), adam)


def train(problem: Problem, settings: Settings, workdir: Workdir, probe: Probe | None = None) -> Tested:
    """Meta-trains in `workdir`, resuming what is there, and tests the parameters with the best validation score.

    probe: what else to log at every validation.

    Raises signals.Interrupted after SIGTERM or SIGINT (the state is saved), FloatingPointError for a loss that is not
    finite, ValueError if there are checkpoints but none fits.
    """
    init_key, shape_key, run_key = jax.random.split(jax.random.key(settings.seed), 3)
    optimiser, sample = make_optimiser(settings), problem.sampler("train")
    start = jax.jit(functools.partial(init_state, problem.learner, optimiser))
    saved = {"state": start(init_key, sample(shape_key)), "seconds": jnp.zeros(())}
    step = make_step(
        problem.learner, problem.loss, problem.score, optimiser, settings.meta_batch, settings.tasks_at_once
    )
    chunk = make_chunk(step)
    checkpoints = Checkpoints(workdir.checkpoints)
    try:
        if found := checkpoints.latest(saved):
            saved = found[1]
            log.info("resuming at step %d", found[0])
        workdir.keep_metrics_up_to(int(saved["state"].step))
        chunk = functools.partial(chunk, run_key=run_key, sample=sample)
        seconds = _run(problem, settings, workdir, checkpoints, chunk, saved, probe)
        best, validation = checkpoints.best_step(), checkpoints.best_quality() * problem.quality(1.0)
        params = checkpoints.restore_best(saved)["state"].params
    finally:
        checkpoints.close()
    evaluate = make_evaluate(problem.eval_learner, problem.score, settings.tasks_at_once)
    scores = np.asarray(evaluate(params, task_keys("test", settings.test_tasks), problem.sampler("test")))
    input_shape = jax.eval_shape(sample, shape_key).support.x.shape[1:]
    return Tested(params, scores, estimate(scores), best, validation, seconds, input_shape)


def _run(
    problem: Problem, settings: Settings, workdir: Workdir, checkpoints: Checkpoints, chunk, saved, probe
) -> float:
    """The loop itself, from the saved state to the last step; returns the training seconds of this and earlier runs."""
    state, before = saved["state"], float(saved["seconds"])
    total, validate_every = settings.steps(settings.train_tasks), settings.steps(settings.validate_every)
    evaluate = make_evaluate(problem.eval_learner, problem.score, settings.tasks_at_once)
    evaluate = functools.partial(evaluate, sample=problem.sampler("validation"))
    state, _ = chunk(state, steps=0)  # compiles, so that rates are those of the work itself
    progress, began, last_save = Progress(total * settings.meta_batch), time.monotonic(), time.monotonic()
    done = int(state.step)
    with signals.collected() as caught:
        while done < total:
            goal = min(total, _next(done, settings.steps(settings.log_every)), _next(done, validate_every))
            state, line = _advance(chunk, state, done, goal, settings.meta_batch)
            done, quality = goal, None
            if done % validate_every == 0 or done == total:
                keys = task_keys("validation", settings.validation_tasks)
                line["validation_score"] = score = float(jnp.mean(evaluate(state.params, keys)))
                quality = problem.quality(score)
                _warn_at_chance(problem, settings, line)
                line |= probe(state.params) if probe else {}
            workdir.log(line)
            progress.show(line)
            if quality is not None or caught or time.monotonic() - last_save > SAVE_SECONDS:
                last_save = time.monotonic()
                checkpoints.save(done, {"state": state, "seconds": jnp.asarray(before + last_save - began)}, quality)
            if caught:
                checkpoints.wait()
                raise signals.Interrupted(caught[0])
    return before + time.monotonic() - began


def _advance(chunk, state, done: int, goal: int, meta_batch: int):
    """Meta-steps `done` to `goal`: (state, line of metrics). Raises FloatingPointError for a loss that is not finite."""
    start = time.monotonic()
    state, means = chunk(state, steps=goal - done)
    line = {"step": goal, "tasks": goal * meta_batch, "loss": float(means.loss), "score": float(means.score)}
    line["tasks_per_second"] = (goal - done) * meta_batch / (time.monotonic() - start)
    if not np.isfinite(line["loss"]):
        raise FloatingPointError(f"loss is {line['loss']} between steps {done} and {goal}")
    return state, line


def _next(done: int, every: int) -> int:
    return (done // every + 1) * every


def _warn_at_chance(problem: Problem, settings: Settings, line: dict) -> None:
    late = line["tasks"] >= settings.patience_tasks
    if late and problem.at_chance(line["validation_score"]):
        message = "still at chance after %d tasks: validation %s %.4g, chance %.4g (some starts have long plateaus)"
        log.warning(message, line["tasks"], problem.metric, line["validation_score"], problem.chance)


def finish(problem: Problem, tested: Tested, workdir: Workdir, facts: dict) -> dict:
    """Writes the outcome of a run into its workdir, result.json last, and returns what that holds."""
    params_files.save(workdir.path / "params.npz", tested.params)
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
    write_result(workdir.path, result, tested.scores)
    return result
