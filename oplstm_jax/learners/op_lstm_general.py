"""OP-LSTM on any chain of layers, convolutions included: beyond the paper, whose section 5 is for dense layers.

A layer's message to the one below is its vector-Jacobian product with what its update rule emitted, and its update is
the same product with respect to its weights. For a dense layer the first is W o and the second the outer product u o^T
of its input with the output, so on linear layers this is `op_lstm`; for others it goes through pooling,
activation and normalisation. Where a layer has pixels or tokens, its rule sees and moves a channel: the means over
them. A layer with several kernels, a residual or transformer block, moves all of them at once, each by the product with
respect to it at the values before the update.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.learners.arguments import check_module, check_ways, checks_arguments
from oplstm_jax.learners.rules import UpdateRule, run_passes, step_factor, take_rule
from oplstm_jax.nets.conv4 import mean_pool
from oplstm_jax.nets.norm import apply_query, apply_support
from oplstm_jax.types import Array, Episode, Info, Learner, Params, Split

ADAPTED = ("kernel",)  # names of the parameters that an update moves; the others are meta-learned only


@checks_arguments
def op_lstm_general(
    layers: Sequence[nn.Module],
    passes: int,
    output_rule: UpdateRule | None = None,
    hidden_rule: UpdateRule | None = None,
    gamma: float | None = 0.025,
    backprop_through_predictions: bool = True,
    frozen: int = 0,
) -> Learner:
    """Makes the learner.

    layers: Flax modules from the input to the output [M, C], each called on what the one before returns, [M, ..., D].
    passes: T, passes over the support set.
    output_rule: reads (target, prediction). hidden_rule: of all other layers, reads (activation, message).
        `coordinate_lstm((5, 5, 1))` if not given.
    gamma: start value of the meta-learned joint norm of a pass's updates; None uses updates as they are.
    backprop_through_predictions: False makes activations, predictions and messages constants as inputs of the rules.
    frozen: so many of the first layers only extract features; all but one leaves `op_lstm_head` with an ordinary bias.

    params: layers (a list), output_rule, hidden_rule and, where used, gamma [1].
    info per pass: updates (a list of trees like the layers' parameters, zero where nothing moves) and outputs [T, M, C]
    before the update.
    """
    if isinstance(layers, nn.Module):
        raise ValueError(f"layers is {type(layers).__name__}: expected a list, as nets.chain.chain makes one")
    if not layers:
        raise ValueError("layers is empty: expected one layer or more")
    for number, layer in enumerate(layers):
        check_module(f"layers[{number}]", layer)
    if not 0 <= frozen < len(layers):
        raise ValueError(f"frozen is {frozen}: expected 0 to {len(layers) - 1}, with {len(layers)} layers")
    rules = take_rule(output_rule), take_rule(hidden_rule)
    how = _Chain(tuple(layers), *rules, gamma, backprop_through_predictions, frozen)

    def adapt(params, support: Split, *, key=None):
        fast, info = _run(how, params, support, passes)
        weights = [*params["layers"][:frozen], *fast]
        return {"layers": fast, "stats": _support_stats(how, weights, support.x)}, info

    def predict(params, fast, x):
        weights = [*params["layers"][:frozen], *fast["layers"]]
        for layer, own, stats in zip(layers, weights, fast["stats"], strict=True):
            x = apply_query(layer, own, stats, x)
        return x

    return Learner(functools.partial(_init, how), adapt, predict)


class _Chain(NamedTuple):
    """The arguments of `op_lstm_general`, which explains them, without its passes."""

    layers: tuple[nn.Module, ...]
    output_rule: UpdateRule
    hidden_rule: UpdateRule
    gamma: float | None
    backprop_through_predictions: bool
    frozen: int

    @property
    def moving(self) -> range:
        """Numbers of the layers that move, from the input up."""
        return range(self.frozen, len(self.layers))

    def is_last(self, number: int) -> bool:
        return number == len(self.layers) - 1

    def rule_of(self, number: int, params: Params) -> tuple[UpdateRule, Any]:
        """A layer's rule and the meta-parameters of that."""
        if self.is_last(number):
            return self.output_rule, params["output_rule"]
        return self.hidden_rule, params["hidden_rule"]


def _init(how: _Chain, key: Array, episode: Episode) -> Params:
    keys, params = jax.random.split(key, len(how.layers) + 2), []
    x: Any = episode.support.x
    for layer, own in zip(how.layers, keys[2:], strict=True):
        variables = layer.init(own, x)
        params.append(variables.get("params", {}))
        x = layer.apply(variables, x)
    check_ways(episode.support.y, x.shape[-1])
    outputs, hidden = how.output_rule.init(keys[0], 2, x.shape[-1]), how.hidden_rule.init(keys[1], 2, 0)
    norm = {} if how.gamma is None else {"gamma": jnp.full((1,), how.gamma, jnp.float32)}
    return {"layers": params, "output_rule": outputs, "hidden_rule": hidden, **norm}


def _run(how: _Chain, params: Params, support: Split, passes: int) -> tuple[list[Params], Info]:
    """Weights of the layers that move after all passes, and what the learner says of each pass."""
    x, weights = support.x, list(params["layers"])
    for number in range(how.frozen):
        x = apply_support(how.layers[number], weights[number], x)[0]
    norm = params["gamma"][0] if how.gamma is not None else None

    def one_pass(carry, _):
        fast, states = carry
        activations, pulls = _forward(how, fast, x)
        updates, states = _backward(how, params, states, activations, pulls, support.y)
        factor = step_factor(sum(jnp.sum(jnp.square(u)) for u in jax.tree.leaves(updates)), norm)
        updates = jax.tree.map(lambda update: factor * update, updates)
        return (jax.tree.map(jnp.add, fast, updates), states), {"updates": updates, "outputs": activations[-1]}

    start = weights[how.frozen :]
    shapes = jax.eval_shape(lambda fast: _forward(how, fast, x)[0], start)
    check_ways(support.y, shapes[-1].shape[-1])
    states = []
    for number, shape in zip(how.moving, shapes, strict=True):
        rule, own = how.rule_of(number, params)
        states.append(rule.start(own, shape.shape[0], shape.shape[-1], passes))
    (fast, _), info = run_passes(one_pass, (start, tuple(states)), passes)
    return fast, info


def _forward(how: _Chain, fast: list[Params], x: Array) -> tuple[list[Array], list[Callable]]:
    """Activations of the layers that move, and the functions that pull a cotangent of each back."""
    activations, pulls = [], []
    for number, own in zip(how.moving, fast, strict=True):
        x, pull = jax.vjp(lambda own, x, layer=how.layers[number]: apply_support(layer, own, x)[0], own, x)
        activations.append(x)
        pulls.append(pull)
    return activations, pulls


def _backward(
    how: _Chain, params: Params, states: tuple, activations: list[Array], pulls: list[Callable], targets: Array
) -> tuple[list[Params], tuple]:
    """Updates of the layers that move and the new states of their rules, from the output layer down."""
    read = (lambda x: x) if how.backprop_through_predictions else jax.lax.stop_gradient
    message, updates, new = targets, [], []
    for number in reversed(how.moving):
        at = number - how.frozen
        seen = read(mean_pool(activations[at]))
        pair = (message, seen) if how.is_last(number) else (seen, read(mean_pool(message)))
        rule, own = how.rule_of(number, params)
        state, out = rule.step(own, states[at], jnp.stack(pair))
        gradient, message = pulls[at](_to_pixels(out, activations[at]))
        updates.append(_moved(gradient, targets.shape[0]))
        new.append(state)
    return updates[::-1], tuple(new[::-1])


def _support_stats(how: _Chain, weights: list[Params], x: Array) -> list:
    """The statistics each layer needs to normalise queries, from the support set and the final weights."""
    found = []
    for layer, own in zip(how.layers, weights, strict=True):
        x, stats = apply_support(layer, own, x)
        found.append(stats)
    return found


def _to_pixels(out: Array, activation: Array) -> Array:
    """Outputs [M, D] spread evenly over pixels, as cotangent of an activation [M, ..., D]."""
    shape = activation.shape
    spread = out.reshape(shape[0], *(1,) * (len(shape) - 2), shape[-1]) / math.prod(shape[1:-1])
    return jnp.broadcast_to(spread, shape).astype(activation.dtype)


def _moved(gradient: Params, examples: int) -> Params:
    """The mean over examples of the gradient of adapted parameters; zero for the others."""

    def keep(path, leaf):
        return leaf / examples if path[-1].key in ADAPTED else jnp.zeros_like(leaf)

    return jax.tree_util.tree_map_with_path(keep, gradient)
