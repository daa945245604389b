"""Passes of OP-LSTM over the layers of a fully connected network, from the output down (SPEC §3).

Shared by `op_lstm`, whose passes see the whole support set, and `op_lstm_sequential`, whose passes see one example.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.learners import fast_weights
from oplstm_jax.learners.fast_weights import FastWeights
from oplstm_jax.learners.rules import (
    UpdateRule,
    coordinate_lstm,
    outer_product,
    outer_product_square,
    run_passes,
    step_factor,
)
from oplstm_jax.nets.mlp import BATCH_MODES, MLP
from oplstm_jax.types import Array, Episode, Info, Params, Split


class LayerUpdates(NamedTuple):
    """How the layers of a network move: the arguments of `op_lstm`, which explains them, without its passes."""

    base: MLP
    output_rule: UpdateRule
    hidden_rule: UpdateRule
    gamma: float | None
    backprop_through_predictions: bool
    adapt_biases: bool
    low_rank: bool | None
    layer_gammas: bool

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, from the input up."""
        return (*(f"dense_{layer}" for layer in range(len(self.base.hidden))), "out")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The name of each layer's rule."""
        return ("hidden_rule",) * len(self.base.hidden) + ("output_rule",)

    @property
    def gammas(self) -> int:
        """How many norms are meta-learned."""
        return 0 if self.gamma is None else len(self.layers) if self.layer_gammas else 1


class Emitted(NamedTuple):
    """What one layer's rule did in one pass: its next state, the message it read [M, D] and its output o [M, D].

    For the output layer the message is the target.
    """

    state: Any
    message: Array
    output: Array


Carry = tuple[FastWeights, tuple]  # fast weights, and the state of each layer's rule


def layer_updates(base: MLP, output_rule: UpdateRule | None, hidden_rule: UpdateRule | None, *rest) -> LayerUpdates:
    """The arguments together, a rule of None being the paper's.

    Raises ValueError for a base without outputs, and for norms of layers where there are none.
    """
    if base.outputs is None:
        raise ValueError("op_lstm needs a base-learner with an output layer: set MLP(outputs=C)")
    how = LayerUpdates(base, output_rule or coordinate_lstm(), hidden_rule or coordinate_lstm(), *rest)
    if how.layer_gammas and how.gamma is None:
        raise ValueError("layer_gammas is True: expected a number for gamma, which is None")
    return how


def init_params(how: LayerUpdates, key: Array, episode: Episode) -> Params:
    """base, output_rule, hidden_rule and, where used, gamma [1], or [L] with layer_gammas."""
    keys = jax.random.split(key, 3)
    params = {
        "base": how.base.init(keys[0], episode.support.x)["params"],
        "output_rule": how.output_rule.init(keys[1], 2, episode.support.y.shape[1]),
        "hidden_rule": how.hidden_rule.init(keys[2], 2, 0),
    }
    if how.gamma is not None:
        params["gamma"] = jnp.full((how.gammas,), how.gamma / math.sqrt(how.gammas), jnp.float32)
    return params


def run(
    how: LayerUpdates, params: Params, seen: Callable[[int | Array], Split], examples: int, passes: int
) -> tuple[FastWeights, Info]:
    """`passes` passes, of which number t sees the examples seen(t): x [M, F] and y [M, C], M = `examples`.

    info per pass: updates, messages and outputs as in `op_lstm`.
    """
    shapes = jax.eval_shape(seen, 0)
    widths = (shapes.x.shape[1], *how.base.hidden, shapes.y.shape[1])
    smaller = fast_weights.prefer_factors(widths, passes * examples)
    factored = passes > 0 and (smaller if how.low_rank is None else how.low_rank)

    def one_pass(carry: Carry, number):
        return _pass(how, params, carry, seen(number), number * examples if factored else None)

    fast = fast_weights.start(params["base"], how.layers, passes * examples if factored and passes != 1 else 0)
    rules = zip(how.kinds, widths[1:], strict=True)
    states = tuple(getattr(how, kind).start(params[kind], examples, width, passes) for kind, width in rules)
    (fast, _), info = run_passes(one_pass, (fast, states), passes)
    return fast, info


def _pass(how: LayerUpdates, params: Params, carry: Carry, support: Split, row: int | Array | None):
    """One pass over examples x [M, F], y [M, C]: (carry, info). row: where its factors are kept, None to add them."""
    fast, _ = carry
    outputs, zs = fast_weights.trace(how.base, fast, support.x)
    emitted = _emit(how, params, carry, support.y, (*zs, outputs))
    spread = [_unit_scale(how.base, fast.weights, layer, z) for layer, z in enumerate(zs)]
    scales: list[Any] = [*spread, 1.0]
    scaled = [e.output * s for e, s in zip(emitted, scales, strict=True)]
    inputs = (support.x, *zs)
    norms = [params["gamma"][layer % how.gammas] if how.gammas else None for layer in range(len(inputs))]
    factors = _step_factors(how, list(map(outer_product_square, inputs, scaled)), norms)
    updates = tuple(outer_product(u, factor * o) for u, o, factor in zip(inputs, scaled, factors, strict=True))
    for layer, u, o, update, factor, norm in zip(how.layers, inputs, scaled, updates, factors, norms, strict=True):
        if row is not None:
            fast = fast_weights.keep_factors(fast, layer, u, factor * o / len(u), row)
        else:
            fast = fast_weights.add_update(fast, layer, update)
        if how.adapt_biases:
            fast = fast_weights.add_bias(fast, layer, jnp.mean(o, 0) * (1.0 if norm is None else norm))
    info = {"updates": updates, "messages": tuple(e.message for e in emitted), "outputs": outputs}
    return (fast, tuple(e.state for e in emitted)), info


def _step_factors(how: LayerUpdates, squares: list[Array], norms: list[Array | None]) -> list[Array]:
    """The factor of each layer's update, from its sum of squares: of all layers together, or of each by itself."""
    if how.layer_gammas:
        return list(map(step_factor, squares, norms))
    return [step_factor(sum(squares[1:], squares[0]), norms[0])] * len(squares)


def _emit(how: LayerUpdates, params: Params, carry: Carry, targets: Array, zs: tuple[Array, ...]) -> list[Emitted]:
    """Runs the rules from the output layer down with this pass's weights; zs ends with the predictions."""
    constant = (lambda x: x) if how.backprop_through_predictions else jax.lax.stop_gradient
    emitted, message, (fast, states) = [], targets, carry
    for layer in reversed(range(len(zs))):
        kind, seen = how.kinds[layer], constant(zs[layer])
        pair = (message, seen) if kind == "output_rule" else (seen, constant(message))
        state, out = getattr(how, kind).step(params[kind], states[layer], jnp.stack(pair))
        emitted.append(Emitted(state, message, out))
        if layer:
            message = fast_weights.backward(fast, how.layers[layer], out)
    return emitted[::-1]


def _unit_scale(base: MLP, weights: Params, layer: int, z: Array) -> Array:
    """g_l / s_l [1, D] of a batch-normalised hidden layer with linear outputs z [M, D] (s sums, no mean); else 1."""
    if base.norm not in BATCH_MODES:
        return jnp.ones((1, 1), z.dtype)
    spread = jnp.sqrt(jnp.sum(jnp.square(z - jnp.mean(z, 0, keepdims=True)), 0, keepdims=True) + 1e-7)
    return weights[f"norm_{layer}"]["scale"][None] / spread
