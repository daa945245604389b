"""Meta-training: from the loss of one task to one step on a meta-batch, by the one `vmap` over tasks."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from oplstm_jax.learners.arguments import check_at_once, check_whole
from oplstm_jax.params import fitting
from oplstm_jax.sharding import on_every_device, share
from oplstm_jax.types import Array, Episode, Learner, Loss, Objective, Params, Sampler, as_sampler
from oplstm_jax.varying import alike


class MetaState(NamedTuple):
    """What meta-training carries from step to step.

    step: meta-steps done (scalar int32). params: meta-parameters. opt_state: the optimiser's.
    """

    step: Array
    params: Params
    opt_state: Any


class Log(NamedTuple):
    """Per meta-step: mean over its tasks of the loss, and of the score (accuracy or squared error)."""

    loss: Array
    score: Array


Chunk = Callable[[MetaState, Array, int | Array, Sampler], tuple[MetaState, Log]]


def task_objective(learner: Learner, loss: Loss) -> Objective:
    """The meta-training loss of one task: the learner's own, else the query loss after adapting to the support.

    A learner's own takes the place of `loss`: of `finetune` and `warp_maml`, and of `protonet` unless it was made with
    `loss_scale=False`.
    """
    if learner.objective is not None:
        return learner.objective

    def objective(params, episode: Episode, *, key=None):
        outputs = task_outputs(learner, params, episode, key=key)
        return loss(outputs, episode.query.y), outputs

    return objective


def task_outputs(learner: Learner, params: Params, episode: Episode, *, key: Array | None = None) -> Array:
    """Outputs [Q, C] on the query set of one task after learning its support set."""
    fast, _ = learner.adapt(params, episode.support, key=key)
    return learner.predict(params, fast, episode.query.x)


def meta_loss(learner: Learner, loss: Loss, score: Loss) -> Callable[..., tuple[Array, Log]]:
    """(params, episodes with leading B, keys [B]) -> (sum of task losses, Log): meta-batch gradients are summed.

    loss: of outputs and targets, unless the learner has its own (`task_objective`). score: what is logged beside it.

    It raises ValueError if loss or score of a task is not a number.
    """
    objective = task_objective(learner, loss)

    def one_task(params, episode: Episode, key):
        value, outputs = objective(params, episode, key=key)
        return scalar(value, "loss"), scalar(score(outputs, episode.query.y), "score")

    def batch_loss(params, episodes: Episode, keys: Array):
        losses, scores = jax.vmap(one_task, in_axes=(None, 0, 0))(params, episodes, keys)
        return jnp.sum(losses), Log(jnp.mean(losses), jnp.mean(scores))

    return batch_loss


def scalar(value: Array, what: str) -> Array:
    """The value of a loss or score of a task. Raises ValueError unless it is one number."""
    if jnp.shape(value) != ():
        raise ValueError(f"the {what} of a task is {list(jnp.shape(value))}: expected a number, such as a mean")
    return value


def init_state(
    learner: Learner,
    optimiser: optax.GradientTransformation,
    key: Array,
    episode: Episode,
    params: Params | None = None,
) -> MetaState:
    """Fresh meta-parameters and optimiser state; the episode serves only for shapes.

    params: meta-parameters to go on from instead, such as those of `zoo.load`. They are copied, since `make_chunk` uses
    up the state it is given.

    Raises ValueError for params of another structure or of other shapes than the learner's.
    """
    if params is None:
        params = learner.init(key, episode)
    else:
        params = fitting(params, jax.eval_shape(learner.init, key, episode))
    start = jax.tree.map(lambda a: jnp.array(a, jnp.result_type(a)), params)  # copies; weak types would recompile
    return MetaState(jnp.zeros((), jnp.int32), start, optimiser.init(start))


def make_gradient(learner: Learner, loss: Loss, score: Loss, tasks_at_once: int | None = None) -> Callable:
    """(params, episodes with leading B, keys [B]) -> (gradient of the sum of task losses, Log).

    tasks_at_once: tasks that are vectorised together, a divisor of B; blocks of them follow one another. None takes all
    of B. Fewer need less memory, and for convolutions on a CPU one task at a time is many times faster.

    Raises ValueError for tasks_at_once that is no whole number above 0, and later where it does not divide B.
    """
    check_at_once(tasks_at_once)
    whole = jax.grad(meta_loss(learner, loss, score), has_aux=True)

    def gradient(params: Params, episodes: Episode, keys: Array) -> tuple[Params, Log]:
        tasks = len(episodes.support.x)
        size = tasks_at_once or tasks
        if tasks % size:
            raise ValueError(f"tasks_at_once is {size}: expected a divisor of the meta-batch, {tasks}")
        if size == tasks:
            return whole(params, episodes, keys)
        blocks = jax.tree.map(lambda a: a.reshape(tasks // size, size, *a.shape[1:]), (episodes, keys))

        def add(total, block):
            return jax.tree.map(jnp.add, total, whole(params, *block)), None

        log = Log(jnp.zeros(()), jnp.zeros(()))
        start = (alike(jax.tree.map(jnp.zeros_like, params), params), alike(log, params, episodes, keys))
        (grads, log), _ = jax.lax.scan(add, start, blocks)
        return grads, jax.tree.map(lambda a: a * size / tasks, log)

    return gradient


def make_step(
    learner: Learner,
    loss: Loss,
    score: Loss,
    optimiser: optax.GradientTransformation,
    meta_batch: int,
    tasks_at_once: int | None = None,
    axis: str | None = None,
) -> Callable[[MetaState, Array, Sampler], tuple[MetaState, Log]]:
    """One meta-step (state, run key, sample) -> (state, Log), episodes sampled inside it by `sample(key)`.

    loss: of outputs and targets, unless the learner has its own (`task_objective`). score: what is logged beside it.

    Everything random in step s of a run comes from `fold_in(run key, s)`, so a resumed run draws the same numbers.

    axis: of the devices that share the meta-batch evenly (of `shard_map`, see `make_chunk`, or of `pmap`), None for one
    device. They all take the same step.

    Raises ValueError for a meta_batch or tasks_at_once that is no whole number above 0.
    """
    check_whole("meta_batch", meta_batch, smallest=1)
    check_at_once(tasks_at_once)

    def step(state: MetaState, run_key: Array, sample: Sampler) -> tuple[MetaState, Log]:
        keys = jax.random.split(jax.random.fold_in(run_key, state.step), 2)
        sample_keys, learner_keys = (share(jax.random.split(key, meta_batch), axis) for key in keys)
        at_once = math.gcd(tasks_at_once, len(sample_keys)) if tasks_at_once and axis else tasks_at_once
        gradient = make_gradient(learner, loss, score, at_once)
        episodes = jax.vmap(sample)(sample_keys)
        params = alike(state.params, episodes, learner_keys)  # so that nothing but the sum below is over devices
        grads, log = gradient(params, episodes, learner_keys)
        if axis is not None:
            grads, log = jax.lax.psum(grads, axis), jax.lax.pmean(log, axis)
        update = optax.with_extra_args_support(optimiser).update  # some read the loss, as `value`
        updates, opt_state = update(grads, state.opt_state, state.params, value=log.loss * meta_batch)
        return MetaState(state.step + 1, optax.apply_updates(state.params, updates), opt_state), log

    return step


def make_chunk(step: Callable, mesh: Mesh | None = None) -> Chunk:
    """A jitted loop on the device: (state, run key, number of steps, sample) -> (state, Log averaged over the steps).

    The number of steps is a traced value: chunks of any length share one compilation. The old state is donated: it, and
    the arrays that it was made of, cannot be used again.

    sample: a `Sampler`; another function is compiled anew for each function object.
    mesh: devices that share the tasks; the step must then have been made for their axis.
    """
    return _checked(jax.jit(on_every_device(_run_steps(step), mesh), donate_argnums=0))


def make_pmap_chunk(step: Callable, axis: str) -> Chunk:
    """The same by `jax.pmap` over an axis of local devices, for programs built on it.

    State, in and out, has a leading dimension of devices (`flax.jax_utils.replicate`); the other arguments have none.
    """
    given, found = (0, None, None, None), (0, None)
    return _checked(jax.pmap(_run_steps(step), axis, in_axes=given, out_axes=found, donate_argnums=0))


def _checked(run: Callable) -> Chunk:
    """A compiled chunk that takes any function as sampler. It raises ValueError for steps that are no whole number."""

    def chunk(state: MetaState, run_key: Array, steps: int | Array, sample: Sampler) -> tuple[MetaState, Log]:
        if not jnp.issubdtype(jnp.result_type(steps), jnp.integer):
            raise ValueError(f"steps is {steps!r}: expected a whole number")
        return run(state, run_key, steps, as_sampler(sample))

    return chunk


def _run_steps(step: Callable) -> Chunk:
    def chunk(state: MetaState, run_key: Array, steps: int | Array, sample: Sampler) -> tuple[MetaState, Log]:
        def body(_, carry):
            state, total = carry
            state, log = step(state, run_key, sample)
            return state, jax.tree.map(jnp.add, total, log)

        of_a_step = jax.eval_shape(step, state, run_key, sample)[1]
        zero = Log(*jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), of_a_step))
        state, total = jax.lax.fori_loop(0, steps, body, (state, zero))
        return state, jax.tree.map(lambda x: x / jnp.maximum(steps, 1), total)

    return chunk
