"""The network that a learner predicts with after learning a task, as a function of its weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from oplstm_jax.learners import fast_weights
from oplstm_jax.types import Array, Fast, Learner, Params


class FastNetwork(NamedTuple):
    """weights: all parameters of the network after learning. outputs: (weights, x [Q, ...]) -> outputs [Q, C].

    has_stats: whether `outputs` keeps what these weights made of the support set (`norm="support"`), so that other
    weights are not the network that they would be.
    """

    weights: Params
    outputs: Callable[[Params, Array], Array]
    has_stats: bool = False


def fast_network(learner: Learner, params: Params, fast: Fast) -> FastNetwork:
    """The network in what `adapt` returned, for `op_lstm`, `op_lstm_head` (its last layer) and gradient learners.

    Raises ValueError for learners that do not adapt the weights of a network.
    """
    weights, put, stats = _parts(fast)
    return FastNetwork(weights, lambda weights, x: learner.predict(params, put(weights), x), bool(stats))


def _parts(fast: Fast) -> tuple[Params, Callable[[Params], Fast], list[Array]]:
    """(fast weights, what puts others in their place, statistics that hang on them)."""
    fields: dict[str, Any] = fast if isinstance(fast, dict) else {}
    stats = jax.tree.leaves(fields.get("stats", {}))
    if isinstance(fields.get("net"), fast_weights.FastWeights):
        return fast_weights.merged(fields["net"]), lambda w: {**fields, "net": fast_weights.FastWeights(w, {})}, stats
    if "weights" in fields:
        return fields["weights"], lambda w: {**fields, "weights": w}, stats
    if "kernel" in fields:
        head = {name: fields[name] for name in ("kernel", "bias")}
        return head, lambda w: {**fields, **w}, []  # those are of the features
    raise ValueError(f"learner has no network with fast weights: it keeps {', '.join(fields) or type(fast).__name__}")


def kernels(weights: Params) -> dict[str, Array]:
    """The kernels [D_in, D_out] of the layers of a network, by the layer's name in the order of their numbers."""
    layers = sorted(weights, key=lambda layer: (layer.partition("_")[0], len(layer), layer))
    return {layer: weights[layer]["kernel"] for layer in layers if "kernel" in weights[layer]}


def outputs_of_kernels(network: FastNetwork, kernels: dict[str, Array], x: Array) -> Array:
    """Outputs [Q, C] for x [Q, ...] with other kernels and all other weights as they are.

    Raises ValueError for a network with `norm="support"`.
    """
    if network.has_stats:
        raise ValueError("norm is 'support': other kernels would have other statistics; expected transductive or layer")
    changed = {layer: {**network.weights[layer], "kernel": kernel} for layer, kernel in kernels.items()}
    return network.outputs({**network.weights, **changed}, x)
