"""The network that a learner predicts with after learning a task, as a function of its weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

from oplstm_jax.learners import fast_weights
from oplstm_jax.types import Array, Fast, Learner, Params


class FastNetwork(NamedTuple):
    """weights: all parameters of the network after learning. outputs: (weights, x [Q, ...]) -> outputs [Q, C]."""

    weights: Params
    outputs: Callable[[Params, Array], Array]


def fast_network(learner: Learner, params: Params, fast: Fast) -> FastNetwork:
    """The network in what `adapt` returned, for `op_lstm`, `op_lstm_head` (its last layer) and gradient learners.

    Raises ValueError for learners that do not adapt the weights of a network.
    """
    weights, put = _parts(fast)
    return FastNetwork(weights, lambda weights, x: learner.predict(params, put(weights), x))


def _parts(fast: Fast) -> tuple[Params, Callable[[Params], Fast]]:
    """(fast weights, what puts others in their place)."""
    fields: dict[str, Any] = fast if isinstance(fast, dict) else {}
    if isinstance(fields.get("net"), fast_weights.FastWeights):
        return fast_weights.merged(fields["net"]), lambda w: {**fields, "net": fast_weights.FastWeights(w, {})}
    if "weights" in fields:
        return fields["weights"], lambda w: {**fields, "weights": w}
    if "kernel" in fields:
        head = {name: fields[name] for name in ("kernel", "bias")}
        return head, lambda w: {**fields, **w}
    raise ValueError(f"learner has no network with fast weights: it keeps {', '.join(fields) or type(fast).__name__}")


def kernels(weights: Params) -> dict[str, Array]:
    """The kernels [D_in, D_out] of the layers of a network, by the layer's name in the order of their numbers."""
    layers = sorted(weights, key=lambda layer: (layer.partition("_")[0], len(layer), layer))
    return {layer: weights[layer]["kernel"] for layer in layers if "kernel" in weights[layer]}


def with_kernels(weights: Params, kernels: dict[str, Array]) -> Params:
    """The weights of a network with other kernels."""
    return {**weights, **{layer: {**weights[layer], "kernel": kernel} for layer, kernel in kernels.items()}}
