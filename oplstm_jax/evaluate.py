"""Scores of a learner on a fixed list of tasks."""

import functools
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from oplstm_jax.learners.arguments import check_at_once, check_whole
from oplstm_jax.meta import scalar, task_outputs
from oplstm_jax.sharding import axis_of, on_every_device, share
from oplstm_jax.types import Array, Learner, Loss, Params, Sampler, as_sampler

# The published key of the task lists. Task i of a list has the key k = fold_in(fold_in(key(LIST_KEY), list), i): it is
# sample(split(k)[0]), and split(k)[1] is for learners that draw random numbers.
LIST_KEY = 2310_14139
LISTS = {"validation": 1, "test": 2}
# Tasks in memory at a time, and numbers of their inputs: 25 tasks of 84x84 images take 27 GB of a GPU.
AT_ONCE, INPUTS = 25, 2**23


def task_keys(split: str, count: int) -> Array:
    """Keys [count] of the fixed list of validation or test tasks, the same for every learner, seed and machine.

    The task of a key is sample(split(key)[0]), see LIST_KEY. Raises ValueError for another list, and for no task.
    """
    if split not in LISTS:
        raise ValueError(f"unknown list of tasks {split!r}: expected one of {', '.join(LISTS)}")
    check_whole("count", count, smallest=1)
    list_key = jax.random.fold_in(jax.random.key(LIST_KEY), LISTS[split])
    return jax.vmap(functools.partial(jax.random.fold_in, list_key))(np.arange(count))


def make_evaluate(
    learner: Learner, score: Loss, tasks_at_once: int | None = None, mesh: Mesh | None = None
) -> Callable[[Params, Array, Sampler], Array]:
    """A jitted (params, task keys [n], sample) -> scores [n].

    tasks_at_once: tasks that are in memory at a time, for None 25 or, of large images, fewer. mesh: devices that share
    the tasks. sample: a `Sampler`; another function is compiled anew for each function object.

    Raises ValueError for tasks_at_once that is no whole number above 0.
    """
    check_at_once(tasks_at_once)
    axis = axis_of(mesh)

    def one_task(params: Params, sample: Sampler, key: Array) -> Array:
        sample_key, learner_key = jax.random.split(key)
        episode = sample(sample_key)
        return scalar(score(task_outputs(learner, params, episode, key=learner_key), episode.query.y), "score")

    def shared(params: Params, keys: Array, sample: Sampler) -> Array:
        one = functools.partial(one_task, params, sample)
        scores = jax.lax.map(one, share(keys, axis), batch_size=tasks_at_once or fitting(sample))
        return scores if axis is None else jax.lax.all_gather(scores, axis, tiled=True)

    @jax.jit
    def evaluate(params: Params, keys: Array, sample: Sampler) -> Array:
        devices = 1 if mesh is None else mesh.size
        filled = np.arange(-(-len(keys) // devices) * devices) % len(keys)  # the last share takes some tasks again
        return on_every_device(shared, mesh)(params, keys[filled], sample)[: len(keys)]

    return lambda params, keys, sample: evaluate(params, keys, as_sampler(sample))


def fitting(sample: Sampler) -> int:
    """How many tasks are scored at a time where nobody asks for a number: as many as bound the memory of a device."""
    episode = jax.eval_shape(lambda: sample(jax.random.key(0)))
    return max(1, min(AT_ONCE, INPUTS // (episode.support.x.size + episode.query.x.size)))
