"""Whether a learner of one's own keeps the contract that training, testing and sharding rely on, in one call."""

import inspect
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from oplstm_jax.meta import task_objective
from oplstm_jax.params import named_arrays
from oplstm_jax.types import Array, Episode, Learner, Loss, Params, Sampler

TASKS = 3
SMALLEST = 1e-10  # a gradient below which there is none
RELATIVE, ABSOLUTE = 1e-3, 1e-4  # tolerances between tasks one by one and together


def check_learner(learner: Learner, sample: Sampler, loss: Loss, without_gradient: Collection[str] = ()) -> None:
    """Raises ValueError, saying what is wrong, unless the learner keeps the contract on the episodes of sample(key).

    It is the contract of `docs/extend/contract.md`: meta-parameters are floats, `adapt` returns (fast, info) with the
    passes first in info, outputs are finite floats [Q, C], all of it can be compiled, tasks under `vmap` are tasks one
    by one, and every meta-parameter has a gradient.

    loss: (outputs [Q, C], targets [Q, C]) -> number. without_gradient: meta-parameters that need none, such as biases
    before a batch normalisation, by name as in `named_arrays`. Compiles the learner three times.
    """
    sample_keys, learner_keys = (jax.random.split(jax.random.key(seed), TASKS) for seed in (0, 1))
    episodes = jax.vmap(sample)(sample_keys)
    tasks = [jax.tree.map(lambda a, i=i: a[i], episodes) for i in range(TASKS)]
    params = learner.init(jax.random.key(2), tasks[0])
    _check_params(params)
    _check_outputs(learner, params, tasks[0], jax.random.key(3))
    _check_losses(learner, loss, params, tasks, learner_keys)
    _check_gradients(learner, loss, params, (episodes, learner_keys), without_gradient)


def _check_params(params: Params) -> None:
    for name, array in named_arrays(params).items():
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"init: meta-parameter {name!r} is {array.dtype}: expected floats")


def _check_outputs(learner: Learner, params: Params, task: Episode, key: Array) -> None:
    try:
        inspect.signature(learner.adapt).bind(params, task.support, key=key)
    except TypeError as error:
        raise ValueError(f"adapt: {error}: expected adapt(params, support, *, key=None)") from None
    adapted = learner.adapt(params, task.support, key=key)
    if not isinstance(adapted, tuple) or len(adapted) != 2:
        raise ValueError(f"adapt: returned {type(adapted).__name__}: expected (fast, info)")
    passes = {name: np.shape(array)[:1] for name, array in named_arrays(adapted[1]).items()}
    if len(set(passes.values())) > 1 or () in passes.values():
        raise ValueError(f"adapt: info begins with {passes}: expected the same number of passes first in each array")
    outputs = learner.predict(params, adapted[0], task.query.x)
    if np.shape(outputs) != task.query.y.shape or not jnp.issubdtype(jnp.asarray(outputs).dtype, jnp.floating):
        expected = f"floats {list(task.query.y.shape)}, as the targets"
        found = f"{jnp.asarray(outputs).dtype} {list(np.shape(outputs))}"
        raise ValueError(f"predict: returned {found}: expected {expected}")
    if not np.isfinite(outputs).all():
        raise ValueError("predict: outputs are not all finite")


def _check_losses(learner: Learner, loss: Loss, params: Params, tasks: list[Episode], keys: Array) -> None:
    """Compiled and one by one, against compiled and together."""
    objective, traces = task_objective(learner, loss), []

    def of_a_task(params: Params, task: Episode, key: Array) -> Array:
        traces.append(1)
        value, _ = objective(params, task, key=key)
        if np.shape(value) != ():
            raise ValueError(f"loss: returned {list(np.shape(value))}: expected a number")
        return value

    alone = _compiled(of_a_task)
    apart = [alone(params, task, key) for task, key in zip(tasks, jax.random.clone(keys), strict=True)]
    if len(traces) > 1:
        raise ValueError("adapt or predict: compiled anew for a task of the same shapes: expected once")
    together = _compiled(jax.vmap(of_a_task, (None, 0, 0)))
    found = together(params, jax.tree.map(lambda *leaves: jnp.stack(leaves), *tasks), jax.random.clone(keys))
    if not np.allclose(apart, found, RELATIVE, ABSOLUTE):
        losses = f"{np.array(apart)} one by one and {np.array(found)} under vmap"
        raise ValueError(f"losses of tasks are {losses}: expected the same")


def _check_gradients(learner: Learner, loss: Loss, params: Params, batch: tuple, without: Collection[str]) -> None:
    objective = task_objective(learner, loss)

    def total(params: Params, tasks: Episode, keys: Array) -> Array:
        return jnp.sum(jax.vmap(lambda task, key: objective(params, task, key=key)[0])(tasks, keys))

    for name, grad in named_arrays(_compiled(jax.grad(total))(params, *batch)).items():
        if not np.isfinite(grad).all():
            raise ValueError(f"the gradient of meta-parameter {name!r} is not finite")
        if name not in without and np.abs(grad).max() < SMALLEST:
            raise ValueError(f"meta-parameter {name!r} has no gradient: does it take part in adapt or predict?")


def _compiled(function: Callable[..., Array]) -> Callable[..., Array]:
    """The function compiled; what cannot be is a ValueError."""
    compiled = jax.jit(function)

    def refusing(*args: Any) -> Array:
        try:
            return compiled(*args)
        except jax.errors.JAXTypeError as error:
            line = str(error).strip().splitlines()[0]
            raise ValueError(f"adapt, predict or loss cannot be compiled: {line}") from error

    return refusing
