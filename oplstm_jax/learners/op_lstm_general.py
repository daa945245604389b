"""OP-LSTM on any chain of layers, convolutions included: beyond the paper, whose section 5 is for dense layers.

A layer's message to the one below is its vector-Jacobian product with what its update rule emitted, and its update is
the same product with respect to its weights. For a dense layer the first is W o and the second the outer product u o^T
of its input with the output, so on linear layers this is `op_lstm` (SPEC §3); for others it goes through pooling,
activation and normalisation. Where a layer has pixels or tokens, its rule sees and moves a channel: the means over
them. A layer with several kernels, a residual or transformer block, moves all of them at once, each by the product with
respect to it at the values before the update.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.learners.arguments import checks_arguments
from oplstm_jax.learners.rules import UpdateRule, coordinate_lstm, run_passes, step_factor
from oplstm_jax.nets.conv4 import mean_pool
from oplstm_jax.nets.norm import apply_query, apply_support
from oplstm_jax.types import Array, Episode, Learner, Params, Split

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
    output_rule, hidden_rule = output_rule or coordinate_lstm(), hidden_rule or coordinate_lstm()
    if not 0 <= frozen < len(layers):
        raise ValueError(f"frozen is {frozen}: expected 0 to {len(layers) - 1}, with {len(layers)} layers")
    moving, last = range(frozen, len(layers)), len(layers) - 1
    constant = (lambda x: x) if backprop_through_predictions else jax.lax.stop_gradient

    def init(key, episode: Episode):
        keys, params = jax.random.split(key, len(layers) + 2), []
        x: Any = episode.support.x
        for layer, own in zip(layers, keys[2:], strict=True):
            variables = layer.init(own, x)
            params.append(variables.get("params", {}))
            x = layer.apply(variables, x)
        outputs, hidden = output_rule.init(keys[0], 2, x.shape[-1]), hidden_rule.init(keys[1], 2, 0)
        norm = {} if gamma is None else {"gamma": jnp.full((1,), gamma, jnp.float32)}
        return {"layers": params, "output_rule": outputs, "hidden_rule": hidden, **norm}

    def rule_of(number: int, params: Params) -> tuple[UpdateRule, Any]:
        return (output_rule, params["output_rule"]) if number == last else (hidden_rule, params["hidden_rule"])

    def adapt(params, support: Split, *, key=None):
        x, weights = support.x, list(params["layers"])
        for number in range(frozen):
            x = apply_support(layers[number], weights[number], x)[0]
        norm = params["gamma"][0] if gamma is not None else None

        def one_pass(carry, _):
            fast, states = carry
            activations, pulls = forward(fast, x)
            updates, states = backward(params, states, activations, pulls, support.y)
            factor = step_factor(sum(jnp.sum(jnp.square(u)) for u in jax.tree.leaves(updates)), norm)
            updates = jax.tree.map(lambda update: factor * update, updates)
            return (jax.tree.map(jnp.add, fast, updates), states), {"updates": updates, "outputs": activations[-1]}

        shapes = jax.eval_shape(lambda fast: forward(fast, x)[0], weights[frozen:])
        states = []
        for number, shape in zip(moving, shapes, strict=True):
            rule, own = rule_of(number, params)
            states.append(rule.start(own, shape.shape[0], shape.shape[-1], passes))
        (fast, _), info = run_passes(one_pass, (weights[frozen:], tuple(states)), passes)
        return {"layers": fast, "stats": support_stats(params, fast, support.x)}, info

    def forward(fast: list[Params], x: Array) -> tuple[list[Array], list]:
        """Activations of the layers that move, and the functions that pull a cotangent of each back."""
        activations, pulls = [], []
        for number, own in zip(moving, fast, strict=True):
            x, pull = jax.vjp(lambda own, x, layer=layers[number]: apply_support(layer, own, x)[0], own, x)
            activations.append(x)
            pulls.append(pull)
        return activations, pulls

    def backward(params, states, activations, pulls, targets: Array) -> tuple[list[Params], tuple]:
        """Updates of the layers that move and the new states of their rules, from the output layer down."""
        message, updates, new = targets, [], []
        for number in reversed(moving):
            at = number - frozen
            seen = constant(mean_pool(activations[at]))
            pair = (message, seen) if number == last else (seen, constant(mean_pool(message)))
            rule, own = rule_of(number, params)
            state, out = rule.step(own, states[at], jnp.stack(pair))
            gradient, message = pulls[at](_to_pixels(out, activations[at].shape))
            updates.append(_moved(gradient, targets.shape[0]))
            new.append(state)
        return updates[::-1], tuple(new[::-1])

    def support_stats(params, fast, x: Array) -> list:
        """The statistics each layer needs to normalise queries, from the support set and the final weights."""
        found = []
        for layer, own in zip(layers, [*params["layers"][:frozen], *fast], strict=True):
            x, stats = apply_support(layer, own, x)
            found.append(stats)
        return found

    def predict(params, fast, x):
        weights = [*params["layers"][:frozen], *fast["layers"]]
        for layer, own, stats in zip(layers, weights, fast["stats"], strict=True):
            x = apply_query(layer, own, stats, x)
        return x

    return Learner(init, adapt, predict)


def _to_pixels(out: Array, shape: tuple[int, ...]) -> Array:
    """Outputs [M, D] spread evenly over pixels, as cotangent of an activation of this shape [M, ..., D]."""
    spread = out.reshape(shape[0], *(1,) * (len(shape) - 2), shape[-1]) / math.prod(shape[1:-1])
    return jnp.broadcast_to(spread, shape)


def _moved(gradient: Params, examples: int) -> Params:
    """The mean over examples of the gradient of adapted parameters; zero for the others."""

    def keep(path, leaf):
        return leaf / examples if path[-1].key in ADAPTED else jnp.zeros_like(leaf)

    return jax.tree_util.tree_map_with_path(keep, gradient)
