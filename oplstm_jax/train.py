"""The only training loop: restore -> chunks of meta-steps on the device -> log -> validate -> save -> test."""

import functools
import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from oplstm_jax import params as params_files
from oplstm_jax.checkpoint import Checkpoints
from oplstm_jax.evaluate import make_evaluate, task_keys
from oplstm_jax.meta import MetaState, init_state, make_chunk, make_step
from oplstm_jax.progress import Progress
from oplstm_jax.statistics import Estimate, estimate
from oplstm_jax.types import Learner, Loss, Sampler
from oplstm_jax.workdir import Workdir

SAVE_SECONDS = 600  # at the latest after so long a checkpoint is written, also between validations
log = logging.getLogger("oplstm_jax")


class Problem(NamedTuple):
    """What is learned, and how it is judged.

    learner, eval_learner: the same meta-parameters, with the passes of training and of evaluation.
    loss: of meta-training. score: per task, reported as `metric` (`accuracy` or `mse`).
    chance: the score of knowing nothing. sampler: split (train, validation, test) -> (key -> Episode).
    """

    learner: Learner
    eval_learner: Learner
    loss: Loss
    score: Loss
    metric: str
    chance: float
    sampler: Callable[[str], Sampler]

    def quality(self, score: float) -> float:
        """The score, signed so that larger is better."""
        return score if self.metric == "accuracy" else -score

    def at_chance(self, score: float) -> bool:
        """Whether a score is no better than chance, within a twentieth of it."""
        return self.quality(score) <= self.quality(self.chance) + 0.05 * self.chance


class Settings(NamedTuple):
    """How long and how meta-training goes. Numbers of tasks are rounded up to whole meta-steps.

    patience_tasks: a run whose validation score is still at chance after so many tasks says so (it goes on).
    outer_clip: bound on every entry of the meta-gradient, None for none.
    """

    seed: int
    meta_batch: int
    learning_rate: float
    train_tasks: int
    validate_every: int
    log_every: int
    validation_tasks: int
    test_tasks: int
    patience_tasks: int
    outer_clip: float | None = None

    def steps(self, tasks: int) -> int:
        return -(-tasks // self.meta_batch)


class Interrupted(Exception):
    """Training stopped by a signal, after saving. `signal_number` says which."""

    def __init__(self, signal_number: int):
        super().__init__(f"interrupted by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


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


def train(problem: Problem, settings: Settings, workdir: Workdir) -> Tested:
    """Meta-trains in `workdir`, resuming what is there, and tests the parameters with the best validation score.

    Raises Interrupted after SIGTERM or SIGINT (the state is saved), FloatingPointError for a loss that is not finite.
    """
    init_key, shape_key, run_key = jax.random.split(jax.random.key(settings.seed), 3)
    optimiser, sample = make_optimiser(settings), problem.sampler("train")
    chunk = make_chunk(make_step(problem.learner, problem.loss, problem.score, optimiser, settings.meta_batch))
    start = jax.jit(functools.partial(init_state, problem.learner, optimiser))
    state = start(init_key, sample(shape_key))
    saved = {"state": state, "seconds": jnp.zeros(())}
    checkpoints = Checkpoints(workdir.checkpoints)
    try:
        if found := checkpoints.latest(saved):
            saved = found[1]
            log.info("resuming at step %d", found[0])
        workdir.keep_metrics_up_to(int(saved["state"].step))
        state, seconds = _run(problem, settings, workdir, checkpoints, functools.partial(chunk, sample=sample), run_key, saved)
        best = checkpoints.best_step()
        validation = checkpoints.best_quality() * problem.quality(1.0)
        params = checkpoints.restore_best(saved)["state"].params
    finally:
        checkpoints.close()
    evaluate = make_evaluate(problem.eval_learner, problem.score)
    scores = np.asarray(evaluate(params, task_keys("test", settings.test_tasks), problem.sampler("test")))
    input_shape = jax.eval_shape(sample, run_key).support.x.shape[1:]
    return Tested(params, scores, estimate(scores), best, validation, seconds, input_shape)


def _run(problem, settings, workdir, checkpoints, chunk, run_key, saved) -> tuple[MetaState, float]:
    """The loop itself, from the saved state to the last step; returns (state, training seconds of all runs)."""
    state, before = saved["state"], float(saved["seconds"])
    total, validate_every, log_every = (
        settings.steps(n) for n in (settings.train_tasks, settings.validate_every, settings.log_every)
    )
    evaluate = make_evaluate(problem.eval_learner, problem.score)
    evaluate = functools.partial(evaluate, sample=problem.sampler("validation"))
    state, _ = chunk(state, run_key, 0)  # compiles, so that rates are those of the work itself
    progress, began, last_save = Progress(total * settings.meta_batch), time.monotonic(), time.monotonic()
    done = int(state.step)
    with _signals() as caught:
        while done < total:
            start, goal = time.monotonic(), min(total, _next(done, log_every), _next(done, validate_every))
            state, means = chunk(state, run_key, goal - done)
            line = {"step": goal, "tasks": goal * settings.meta_batch, "loss": float(means.loss), "score": float(means.score)}
            line["tasks_per_second"] = (goal - done) * settings.meta_batch / (time.monotonic() - start)
            if not np.isfinite(line["loss"]):
                raise FloatingPointError(f"loss is {line['loss']} between steps {done} and {goal}")
            done, quality = goal, None
            if done % validate_every == 0 or done == total:
                line["validation_score"] = score = _validate(evaluate, state, settings)
                quality = problem.quality(score)
                _warn_at_chance(problem, settings, line)
            workdir.log(line)
            progress.show(line)
            if quality is not None or caught or time.monotonic() - last_save > SAVE_SECONDS:
                last_save = time.monotonic()
                checkpoints.save(done, {"state": state, "seconds": jnp.asarray(before + last_save - began)}, quality)
            if caught:
                checkpoints.wait()
                raise Interrupted(caught[0])
    checkpoints.wait()
    return state, before + time.monotonic() - began


def _validate(evaluate, state: MetaState, settings: Settings) -> float:
    return float(jnp.mean(evaluate(state.params, task_keys("validation", settings.validation_tasks))))


def _next(done: int, every: int) -> int:
    return (done // every + 1) * every


def _warn_at_chance(problem: Problem, settings: Settings, line: dict) -> None:
    late = line["tasks"] >= settings.patience_tasks
    if late and problem.at_chance(line["validation_score"]):
        message = "still at chance after %d tasks: validation %s %.4g, chance %.4g (some starts have long plateaus)"
        log.warning(message, line["tasks"], problem.metric, line["validation_score"], problem.chance)


class _signals:
    """Collects SIGINT and SIGTERM in a list instead of dying in the middle of a step (main thread only)."""

    def __enter__(self) -> list[int]:
        self.caught: list[int] = []
        self.old = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.old[number] = signal.signal(number, lambda n, frame: self.caught.append(n))
        return self.caught

    def __exit__(self, *error) -> None:
        for number, handler in self.old.items():
            signal.signal(number, handler)


def finish(problem: Problem, tested: Tested, workdir: Workdir, facts: dict) -> dict:
    """Writes the outcome of a run into its workdir, result.json last, and returns what that holds."""
    params_files.save(workdir.path / "params.npz", tested.params)
    np.save(workdir.path / "test_scores.npy", tested.scores)
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
    workdir.write_result(result)
    return result
