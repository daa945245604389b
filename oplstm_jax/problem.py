"""What a run learns and how long: plain records, made by `oplstm_jax.build` from a configuration."""

from collections.abc import Callable
from typing import NamedTuple

import optax

from oplstm_jax.types import Learner, Loss, Params, Sampler

LARGER_IS_BETTER = {"accuracy": True, "mse": False}  # of the metrics that are known


class Problem(NamedTuple):
    """What is learned, and how it is judged.

    learner, eval_learner: the same meta-parameters, with the passes of training and of evaluation.
    loss: of meta-training. score: per task, reported as `metric`: `accuracy`, `mse`, or a name of one's own, which
    needs `larger_is_better`.
    chance: the score of knowing nothing. sampler: split (train, validation, test) -> (key -> Episode).
    probe: what else is logged at every validation: meta-parameters -> fields of metrics.jsonl.
    """

    learner: Learner
    eval_learner: Learner
    loss: Loss
    score: Loss
    metric: str
    chance: float
    sampler: Callable[[str], Sampler]
    probe: Callable[[Params], dict[str, float]] | None = None
    larger_is_better: bool | None = None

    def quality(self, score: float) -> float:
        """The score, signed so that larger is better. Raises ValueError for a metric of which that is not known."""
        larger = LARGER_IS_BETTER.get(self.metric) if self.larger_is_better is None else self.larger_is_better
        if larger is None:
            reason = "expected larger_is_better, True or False, with a metric other than accuracy and mse"
            raise ValueError(f"metric is {self.metric!r}: {reason}")
        return score if larger else -score

    def at_chance(self, score: float) -> bool:
        """Whether a score is no better than chance, within a twentieth of it."""
        return self.quality(score) <= self.quality(self.chance) + 0.05 * abs(self.chance)


class Settings(NamedTuple):
    """How long and how meta-training goes. Numbers of tasks are rounded up to whole meta-steps.

    patience_tasks: a run whose validation score is still at chance after so many tasks says so (it goes on).
    optimiser: adam or muon (`oplstm_jax.optimiser`), or one of Optax that needs no more than gradient and loss; it has
    a learning rate of its own, and the two here are not read.
    outer_clip: bound on every entry of the meta-gradient, None for none.
    tasks_at_once: tasks of a meta-batch that are vectorised together, None for all.
    skip_nonfinite: meta-gradients that are not finite are left out and counted; else they end the run.
    final_learning_rate: where a cosine takes the learning rate by the last step; None for a constant one.
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
    optimiser: str | optax.GradientTransformation = "adam"
    outer_clip: float | None = None
    tasks_at_once: int | None = None
    skip_nonfinite: bool = False
    final_learning_rate: float | None = None

    def steps(self, tasks: int) -> int:
        return meta_steps(tasks, self.meta_batch)


def meta_steps(tasks: int, meta_batch: int) -> int:
    """The fewest whole meta-steps that have so many tasks."""
    return -(-tasks // meta_batch)
