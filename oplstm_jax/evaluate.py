"""Scores of a learner on a fixed list of tasks."""

import functools
from collections.abc import Callable

import jax
import numpy as np

from oplstm_jax.meta import task_outputs
from oplstm_jax.types import Array, Learner, Loss, Params, Sampler

# The published key of the task lists: task i of a list is sampled with fold_in(fold_in(key(LIST_KEY), list), i).
LIST_KEY = 2310_14139
LISTS = {"validation": 1, "test": 2}


def task_keys(split: str, count: int) -> Array:
    """Keys [count] of the fixed list of validation or test tasks, the same for every learner, seed and machine."""
    list_key = jax.random.fold_in(jax.random.key(LIST_KEY), LISTS[split])
    return jax.vmap(functools.partial(jax.random.fold_in, list_key))(np.arange(count))


def make_evaluate(
    learner: Learner, score: Loss, tasks_at_once: int | None = None
) -> Callable[[Params, Array, Sampler], Array]:
    """A jitted (params, task keys [n], sample) -> scores [n]; at most so many tasks (None: 25) are in memory at a time."""

    def one_task(params: Params, sample: Sampler, key: Array) -> Array:
        sample_key, learner_key = jax.random.split(key)
        episode = sample(sample_key)
        return score(task_outputs(learner, params, episode, key=learner_key), episode.query.y)

    @jax.jit
    def evaluate(params: Params, keys: Array, sample: Sampler) -> Array:
        return jax.lax.map(functools.partial(one_task, params, sample), keys, batch_size=tasks_at_once or 25)

    return evaluate
