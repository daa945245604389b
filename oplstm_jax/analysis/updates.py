"""How close OP-LSTM's learned updates of a last layer come to gradient descent and to prototypes (paper section 5)."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from oplstm_jax.learners.features import embed_support
from oplstm_jax.learners.protonet import class_means
from oplstm_jax.losses import cross_entropy
from oplstm_jax.types import Array, Episode, Learner, Params, Sampler, as_sampler


class Similarity(NamedTuple):
    """Of one task, or arrays over tasks.

    gradient_cosine, gradient_ratio: OP-LSTM's total update of the weights against that of gradient descent from the
    same weights in the same number of passes: cosine of the angle, and ratio of the Frobenius norms.
    prototype_cosine, prototype_ratio: its weights after learning against the prototype classifier's.
    """

    gradient_cosine: Array
    gradient_ratio: Array
    prototype_cosine: Array
    prototype_ratio: Array


def gradient_update(kernel: Array, bias: Array, a: Array, y: Array, passes: int, step_size: float) -> Array:
    """Total update [d, C] of a linear layer's kernel by gradient descent on the mean cross entropy of its support set.

    kernel [d, C], bias [C] or [1] (not adapted), features a [M, d], one-hot targets y [M, C].
    """
    return gradient_updates(lambda w: cross_entropy(a @ w + bias[None], y), kernel, passes, step_size)


def gradient_updates(loss: Callable[[Params], Array], weights: Params, passes: int, step_size: float) -> Params:
    """Total update of weights by gradient descent on loss(weights)."""

    def step(weights, _):
        return jax.tree.map(lambda w, g: w - step_size * g, weights, jax.grad(loss)(weights)), None

    after, _ = jax.lax.scan(step, weights, length=passes)
    return jax.tree.map(jnp.subtract, after, weights)


def prototype_kernel(a: Array, y: Array) -> Array:
    """The prototype classifier as a linear layer: kernel [d, C] whose columns are twice the class means.

    -|q - c|^2 = 2 c.q - |c|^2 - |q|^2, in which the last term is the same for all classes.
    """
    return 2 * class_means(a, y).T


def make_similarity(
    learner: Learner, features: nn.Module | None, passes: int, step_size: float
) -> Callable[[Params, Episode], Similarity]:
    """(params, episode) -> Similarity of `op_lstm_head` on one task.

    learner: made on `features` with `passes` passes, T. step_size: of gradient descent, on which the cosine hardly
    depends but the ratio does.
    """

    def similarity(params: Params, episode: Episode) -> Similarity:
        x, y = episode.support
        a, _ = embed_support(features, params, x)
        fast, _ = learner.adapt(params, episode.support)
        gradient = gradient_update(params["kernel"], params["bias"], a, y, passes, step_size)
        prototypes = prototype_kernel(a, y)
        update = fast["kernel"] - params["kernel"]
        return Similarity(*compare(update, gradient), *compare(fast["kernel"], prototypes))

    return similarity


def over_list(measured: Callable[[Params, Episode], Any], tasks_at_once: int | None = None) -> Callable:
    """A jitted (params, task keys [n], sample) -> what is measured, with a leading n, on evaluation's tasks."""

    def one_task(params: Params, sample: Sampler, key: Array):
        return measured(params, sample(jax.random.split(key)[0]))

    @jax.jit
    def measure(params: Params, keys: Array, sample: Sampler):
        return jax.lax.map(functools.partial(one_task, params, sample), keys, batch_size=tasks_at_once or 25)

    return lambda params, keys, sample: measure(params, keys, as_sampler(sample))


def compare(ours: Params, theirs: Params) -> tuple[Array, Array]:
    """Cosine and ratio of norms of two arrays, or trees of arrays taken as one; 0 where one of them is 0."""
    dot = jax.tree.reduce(jnp.add, jax.tree.map(lambda a, b: jnp.sum(a * b), ours, theirs))
    norms = optax.tree.norm(ours), optax.tree.norm(theirs)
    product = norms[0] * norms[1]
    is_zero = product == 0
    cosine = jnp.where(is_zero, 0.0, dot / jnp.where(is_zero, 1.0, product))
    return cosine, jnp.where(is_zero, 0.0, norms[0] / jnp.where(is_zero, 1.0, norms[1]))
