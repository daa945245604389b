"""What devices do in meta-training, compiled: steps and scores of one run, or of several that differ in their seed."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from oplstm_jax import finite
from oplstm_jax.evaluate import make_evaluate, task_keys
from oplstm_jax.fields import check_settings
from oplstm_jax.meta import Log, MetaState, init_state, make_chunk, make_step
from oplstm_jax.optimiser import make_optimiser
from oplstm_jax.problem import Problem, Settings
from oplstm_jax.seeds import over_seeds, stack
from oplstm_jax.sharding import axis_of, replicate, task_mesh
from oplstm_jax.types import Array, Learner, Params, Sampler, as_sampler


class Program(NamedTuple):
    """The device's part of S runs with successive seeds.

    fresh: makes the first state of each run. join: states of each run -> state of all.
    advance: (state of all, number of meta-steps) -> (new state, Log of [S], or scalars for one run).
    scores: (meta-parameters of one run, split) -> score of each task in the list of validation or test tasks.
    input_shape: of one example.
    """

    fresh: Callable[[], list[MetaState]]
    join: Callable[[list[MetaState]], MetaState]
    advance: Callable[[MetaState, int], tuple[MetaState, Log]]
    scores: Callable[[Params, str], Array]
    input_shape: tuple[int, ...]


def make_program(problem: Problem, settings: Settings, count: int = 1) -> Program:
    """The program for runs with the seeds settings.seed and those after it, on all devices that share the tasks.

    Raises ValueError for impossible settings, and for what could only be seen once there is something to validate.
    """
    problem.quality(problem.chance)
    own = {} if isinstance(settings.optimiser, str) else {"learning_rate": 1.0, "final_learning_rate": None}
    check_settings({**settings._asdict(), **own})  # an optimiser that is given has rates of its own
    mesh, optimiser = task_mesh(settings.meta_batch), make_optimiser(settings)
    keys = [replicate(jax.random.key(settings.seed + i), mesh) for i in range(count)]
    start = jax.jit(functools.partial(_first, problem.learner, optimiser))
    step = make_step(
        problem.learner,
        problem.loss,
        problem.score,
        optimiser,
        settings.meta_batch,
        settings.tasks_at_once,
        axis_of(mesh),
    )
    if settings.skip_nonfinite:
        step = finite.skipping_step(step)
    chunk = make_chunk(over_seeds(step, count, (0, 0, None)), mesh)
    evaluate = make_evaluate(problem.eval_learner, problem.score, settings.tasks_at_once, mesh)
    sampler = functools.cache(lambda split: replicate(as_sampler(problem.sampler(split)), mesh))
    tasks = {"validation": settings.validation_tasks, "test": settings.test_tasks}
    run_key = replicate(stack([_keys(jax.random.clone(key))[2] for key in keys]), mesh)
    return Program(
        fresh=lambda: [replicate(start(sampler("train"), jax.random.clone(key)), mesh) for key in keys],
        join=lambda states: replicate(stack(states), mesh),
        advance=lambda state, steps: chunk(state, run_key, jnp.int32(steps), sampler("train")),
        scores=lambda params, split: evaluate(params, task_keys(split, tasks[split]), sampler(split)),
        input_shape=jax.eval_shape(sampler("train"), keys[0]).support.x.shape[1:],
    )


def _keys(key: Array) -> Array:
    """Keys of a run [3]: for its first meta-parameters, for the episode they are made for, for its meta-steps."""
    return jax.random.split(key, 3)


def _first(learner: Learner, optimiser: optax.GradientTransformation, sample: Sampler, key: Array) -> MetaState:
    """The state a run begins with. The episode is drawn here: serving only for shapes, it is then never computed."""
    init_key, shape_key, _ = _keys(key)
    return init_state(learner, optimiser, init_key, sample(shape_key))
