"""Passes of OP-LSTM over the layers of a fully connected network, from the output down.

Shared by `op_lstm`, whose passes see the whole support set, and `op_lstm_sequential`, whose passes see one example.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.learners import fast_weights
from oplstm_jax.learners.arguments import check_ways
from oplstm_jax.learners.fast_weights import FastWeights
from oplstm_jax.learners.rules import (
    UpdateRule,
    outer_product,
    outer_product_square,
    run_passes,
    step_factor,
    take_rule,
)
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.norm import OF_BATCHES
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


class Move(NamedTuple):
    """What one layer's rule did in one pass over M examples: the outer product of outputs and inputs is its update.

    state: its next. message [M, D]: what it read from above, the target for the output layer. inputs u [M, D_in]: the
    layer's. outputs o [M, D]: the rule's, scaled as a batch-normalised layer asks for.
    """

    state: Any
    message: Array
    inputs: Array
    outputs: Array


class Step(NamedTuple):
    """How far one layer goes in one pass: the update [D_in, D] of its kernel; factors of o in it, and in the bias."""

    update: Array
    factor: Array
    bias_factor: Array | float


Carry = tuple[FastWeights, tuple]  # fast weights, and the state of each layer's rule


def layer_updates(base: MLP, output_rule: UpdateRule | None, hidden_rule: UpdateRule | None, *rest) -> LayerUpdates:
    """The arguments together, a rule of None being the paper's.

    Raises ValueError for a base that is no MLP or has no outputs, and for norms of layers where there are none.
    """
    if not isinstance(base, MLP):
        raise ValueError(f"base is {type(base).__name__}: expected an MLP; of other networks see op_lstm_general")
    if base.outputs is None:
        raise ValueError("op_lstm needs a base-learner with an output layer: set MLP(outputs=C)")
    how = LayerUpdates(base, take_rule(output_rule), take_rule(hidden_rule), *rest)
    if how.layer_gammas and how.gamma is None:
        raise ValueError("layer_gammas is True: expected a number for gamma, which is None")
    return how


def init_params(how: LayerUpdates, key: Array, episode: Episode) -> Params:
    """base, output_rule, hidden_rule and, where used, gamma [1], or [L] with layer_gammas."""
    check_ways(episode.support.y, how.base.outputs)
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
    check_ways(shapes.y, how.base.outputs)
    widths = (shapes.x.shape[1], *how.base.hidden, shapes.y.shape[1])
    smaller = fast_weights.prefer_factors(list(itertools.pairwise(widths)), passes * examples)
    factored = passes > 0 and (smaller if how.low_rank is None else how.low_rank)

    def one_pass(carry: Carry, number):
        return _pass(how, params, carry, seen(number), number * examples if factored else None)

    fast = fast_weights.start(params["base"], how.layers, passes * examples if factored and passes != 1 else 0)
    rules = zip(how.kinds, widths[1:], strict=True)
    states = tuple(getattr(how, kind).start(params[kind], examples, width, passes) for kind, width in rules)
    (fast, _), info = run_passes(one_pass, (fast, states), passes, small=True)
    return fast, info


def _pass(how: LayerUpdates, params: Params, carry: Carry, support: Split, row: int | Array | None):
    """One pass over examples x [M, F], y [M, C]: (carry, info). row: where its factors are kept, None to add them."""
    fast, _ = carry
    predictions, zs = fast_weights.trace(how.base, fast, support.x)
    moves = _moves(how, params, carry, support, (*zs, predictions))
    steps = _steps(how, params, moves)
    for layer, move, step in zip(how.layers, moves, steps, strict=True):
        if row is not None:
            share = step.factor * move.outputs / len(move.inputs)
            fast = fast_weights.keep_factors(fast, layer, move.inputs, share, row)
        else:
            fast = fast_weights.add_update(fast, layer, step.update)
        if how.adapt_biases:
            fast = fast_weights.add_bias(fast, layer, jnp.mean(move.outputs, 0) * step.bias_factor)
    updates, messages = tuple(step.update for step in steps), tuple(move.message for move in moves)
    info = {"updates": updates, "messages": messages, "outputs": predictions}
    return (fast, tuple(move.state for move in moves)), info


def _moves(how: LayerUpdates, params: Params, carry: Carry, support: Split, zs: tuple[Array, ...]) -> list[Move]:
    """Runs the rules from the output layer down with this pass's weights; zs ends with the predictions.

    A message is made of the outputs of the layer above before they are scaled.
    """
    constant = (lambda x: x) if how.backprop_through_predictions else jax.lax.stop_gradient
    moves, message, (fast, states) = [], support.y, carry
    for layer in reversed(range(len(zs))):
        kind, seen = how.kinds[layer], constant(zs[layer])
        pair = (message, seen) if kind == "output_rule" else (seen, constant(message))
        state, out = getattr(how, kind).step(params[kind], states[layer], jnp.stack(pair))
        scaled = out if kind == "output_rule" else out * _unit_scale(how.base, fast.weights, layer, zs[layer])
        moves.append(Move(state, message, zs[layer - 1] if layer else support.x, scaled))
        if layer:
            message = fast_weights.backward(fast, how.layers[layer], out)
    return moves[::-1]


def _steps(how: LayerUpdates, params: Params, moves: list[Move]) -> list[Step]:
    """Outer products, brought to the meta-learned norm: of all layers together, or of each by itself."""
    squares = [outer_product_square(move.inputs, move.outputs) for move in moves]
    norms = [params["gamma"][layer % how.gammas] if how.gammas else None for layer in range(len(moves))]
    if how.layer_gammas:
        factors = list(map(step_factor, squares, norms))
    else:
        factors = [step_factor(sum(squares[1:], squares[0]), norms[0])] * len(moves)
    return [
        Step(outer_product(move.inputs, factor * move.outputs), factor, 1.0 if norm is None else norm)
        for move, factor, norm in zip(moves, factors, norms, strict=True)
    ]


def _unit_scale(base: MLP, weights: Params, layer: int, z: Array) -> Array:
    """g_l / s_l [1, D] of a batch-normalised hidden layer with linear outputs z [M, D] (s sums, no mean); else 1."""
    if base.norm not in OF_BATCHES:
        return jnp.ones((1, 1), z.dtype)
    spread = jnp.sqrt(jnp.sum(jnp.square(z - jnp.mean(z, 0, keepdims=True)), 0, keepdims=True) + 1e-7)
    return weights[f"norm_{layer}"]["scale"][None] / spread
