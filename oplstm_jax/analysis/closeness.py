"""How close the updates of OP-LSTM on every layer come to gradient descent, and what it learns to prototypes.

All is of one task. Weights are compared as kernels of all layers, and what they do as outputs on the query set.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.analysis.fast_network import FastNetwork, fast_network, kernels, outputs_of_kernels
from oplstm_jax.analysis.updates import Similarity, compare, gradient_updates, prototype_kernel
from oplstm_jax.learners.protonet import class_means, squared_distances
from oplstm_jax.losses import accuracy
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.norm import apply_support
from oplstm_jax.types import Array, Episode, Learner, Loss, Params, Split


class Closeness(NamedTuple):
    """Of one task, or arrays over tasks in front.

    pass_cosine, pass_ratio [T]: each pass's update against a gradient step from the weights it starts at.
    layer_cosine [L]: of each layer's total update with gradient descent's from the same start in as many steps.
    total_cosine, total_ratio: the same of all layers together.
    change_cosine: of the change of the outputs on the query set with gradient descent's.
    """

    pass_cosine: Array
    pass_ratio: Array
    layer_cosine: Array
    total_cosine: Array
    total_ratio: Array
    change_cosine: Array


class Resemblance(NamedTuple):
    """What classifier the learned network is like, on the query set of one task; or arrays over tasks in front.

    Beside gradient descent of `steps` steps from the same start and the prototypes of the learned network's own
    features: share of queries given the same class, cosine of the outputs (less their mean over classes), accuracies.
    """

    gradient_agreement: Array
    prototype_agreement: Array
    gradient_cosine: Array
    prototype_cosine: Array
    accuracy: Array
    gradient_accuracy: Array
    prototype_accuracy: Array


class Change(NamedTuple):
    """What learning a task did: kernels' total updates by layer, and the change of the outputs [Q, C]."""

    kernels: dict[str, Array]
    outputs: Array


def learned(learner: Learner, unlearned: Learner, params: Params, episode: Episode) -> tuple[FastNetwork, FastNetwork]:
    """The network before and after learning; unlearned: the learner made with no passes."""
    before, after = (
        fast_network(made, params, made.adapt(params, episode.support)[0]) for made in (unlearned, learner)
    )
    return before, after


def change(learner: Learner, unlearned: Learner, params: Params, episode: Episode) -> Change:
    """How any learner with fast weights changes its network on one task."""
    before, after = learned(learner, unlearned, params, episode)
    moved = jax.tree.map(jnp.subtract, kernels(after.weights), kernels(before.weights))
    x = episode.query.x
    return Change(moved, after.outputs(after.weights, x) - before.outputs(before.weights, x))


def make_closeness(
    learner: Learner, unlearned: Learner, loss: Loss, step_size: float
) -> Callable[[Params, Episode], Closeness]:
    """(params, episode) -> Closeness of `op_lstm`, made with its passes T and, as `unlearned`, with none.

    step_size: of gradient descent, on which cosines hardly depend but ratios do.

    Raises ValueError for a network with `norm="support"`.
    """

    def closeness(params: Params, episode: Episode) -> Closeness:
        (x, y), queries = episode.support, episode.query.x
        before, after = learned(learner, unlearned, params, episode)
        start, support_loss = kernels(before.weights), _loss_of_kernels(before, loss, x, y)
        _, info = learner.adapt(params, episode.support)
        updates = dict(zip(start, info["updates"], strict=True))
        here = jax.tree.map(lambda w, u: w[None] + jnp.cumsum(u, 0) - u, start, updates)
        steps = jax.tree.map(lambda g: -step_size * g, jax.vmap(jax.grad(support_loss))(here))
        passes = jax.tree.leaves(updates)[0].shape[0]
        descended = gradient_updates(support_loss, start, passes, step_size)
        total = jax.tree.map(lambda u: jnp.sum(u, 0), updates)
        outputs = before.outputs(before.weights, queries)
        moved = after.outputs(after.weights, queries) - outputs
        theirs = outputs_of_kernels(before, jax.tree.map(jnp.add, start, descended), queries) - outputs
        layers = jnp.stack([compare(total[layer], descended[layer])[0] for layer in start])
        return Closeness(
            *jax.vmap(compare)(updates, steps), layers, *compare(total, descended), compare(moved, theirs)[0]
        )

    return closeness


def make_network_similarity(
    learner: Learner, unlearned: Learner, base: MLP, loss: Loss, step_size: float
) -> Callable[[Params, Episode], Similarity]:
    """(params, episode) -> Similarity of `op_lstm`: all layers with gradient descent, the last with prototypes."""
    closeness = make_closeness(learner, unlearned, loss, step_size)

    def similarity(params: Params, episode: Episode) -> Similarity:
        found = closeness(params, episode)
        _, after = learned(learner, unlearned, params, episode)
        prototypes = prototype_kernel(_features(base, after, episode.support.x), episode.support.y)
        return Similarity(found.total_cosine, found.total_ratio, *compare(after.weights["out"]["kernel"], prototypes))

    return similarity


def make_resemblance(
    learner: Learner, unlearned: Learner, base: MLP, loss: Loss, steps: int, step_size: float
) -> Callable[[Params, Episode], Resemblance]:
    """(params, episode) -> Resemblance of `op_lstm` on an MLP; steps, step_size: of gradient descent.

    Raises ValueError for a network with `norm="support"`.
    """

    def resemblance(params: Params, episode: Episode) -> Resemblance:
        support, queries = episode
        before, after = learned(learner, unlearned, params, episode)
        ours = after.outputs(after.weights, queries.x)
        start = kernels(before.weights)
        descended = gradient_updates(_loss_of_kernels(before, loss, *support), start, steps, step_size)
        gradient = outputs_of_kernels(before, jax.tree.map(jnp.add, start, descended), queries.x)
        prototypes = _prototype_outputs(base, after, support, queries.x)
        others, everyone = (gradient, prototypes), (ours, gradient, prototypes)
        same = [jnp.mean(jnp.argmax(ours, 1) == jnp.argmax(other, 1)) for other in others]
        cosines = [compare(_centred(ours), _centred(other))[0] for other in others]
        return Resemblance(*same, *cosines, *(accuracy(outputs, queries.y) for outputs in everyone))

    return resemblance


def _loss_of_kernels(network: FastNetwork, loss: Loss, x: Array, y: Array) -> Callable[[dict[str, Array]], Array]:
    return lambda kernels: loss(outputs_of_kernels(network, kernels, x), y)


def _features(base: MLP, network: FastNetwork, x: Array) -> Array:
    """What the output layer reads [M, d]: the last hidden activation."""
    return apply_support(base.clone(outputs=None), network.weights, x)[0]


def _prototype_outputs(base: MLP, network: FastNetwork, support: Split, x: Array) -> Array:
    prototypes = class_means(_features(base, network, support.x), support.y)
    return -squared_distances(_features(base, network, x), prototypes)


def _centred(outputs: Array) -> Array:
    """Outputs [Q, C] less what classification does not depend on, their mean over classes."""
    return outputs - jnp.mean(outputs, 1, keepdims=True)
