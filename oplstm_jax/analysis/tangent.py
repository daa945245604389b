"""The empirical tangent kernel of a network before and after it has learned a task (Jacot et al. 2018).

K = J J^T with J the Jacobian of all outputs for a set of inputs with respect to all weights. To first order, a step of
gradient descent on the squared error moves the outputs by K times the errors: the better K agrees with the kernel of
the targets t t^T, the more of a step goes where it should (kernel-target alignment, Cristianini et al. 2001).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.analysis.fast_network import fast_network
from oplstm_jax.types import Array, Episode, Learner, Params


class Tangent(NamedTuple):
    """Of one task, or arrays over tasks.

    before, after: alignment of the tangent kernel on the query inputs with the query targets, in [0, 1].
    kept: cosine between the two kernels; 1 if learning moves outputs alone, as it does in the infinite-width limit.
    growth: ratio of their Frobenius norms, after / before.
    """

    before: Array
    after: Array
    kept: Array
    growth: Array


def tangent_kernel(outputs: Callable[[Params], Array], weights: Params) -> Array:
    """Gram matrix [Q C, Q C] of the Jacobian of outputs(weights) [Q, C], rows ordered query by query."""
    jacobian = jax.jacrev(lambda w: outputs(w).ravel())(weights)
    rows = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(jacobian)]
    return sum(row @ row.T for row in rows)


def alignment(kernel: Array, targets: Array) -> Array:
    """Cosine in [0, 1] between a kernel [Q C, Q C] and t t^T, t the targets [Q, C] less their mean over queries."""
    t = (targets - jnp.mean(targets, 0, keepdims=True)).ravel()
    return t @ kernel @ t / (jnp.linalg.norm(kernel) * jnp.sum(jnp.square(t)))


def make_tangent(learner: Learner, unlearned: Learner) -> Callable[[Params, Episode], Tangent]:
    """(params, episode) -> Tangent of one task.

    unlearned: the same learner made with no passes, which gives the network before learning. Raises ValueError as
    `fast_network` does.
    """

    def kernel(learner: Learner, params: Params, episode: Episode) -> Array:
        network = fast_network(learner, params, learner.adapt(params, episode.support)[0])
        return tangent_kernel(lambda w: network.outputs(w, episode.query.x), network.weights)

    def tangent(params: Params, episode: Episode) -> Tangent:
        before, after = (kernel(made, params, episode) for made in (unlearned, learner))
        norms, y = (jnp.linalg.norm(before), jnp.linalg.norm(after)), episode.query.y
        kept = jnp.sum(before * after) / (norms[0] * norms[1])
        return Tangent(alignment(before, y), alignment(after, y), kept, norms[1] / norms[0])

    return tangent
