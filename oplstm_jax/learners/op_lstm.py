"""OP-LSTM on every layer of a fully connected base-learner (paper section 5; SPEC §3).

Each pass runs the support set forward, then goes from the output layer down: the layer's update rule reads each unit's
activation and the message from above, and the mean outer product of what it emits with the layer's input is the update.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.learners import fast_weights
from oplstm_jax.learners.arguments import checks_arguments
from oplstm_jax.learners.rules import (
    UpdateRule,
    coordinate_lstm,
    outer_product,
    outer_product_square,
    run_passes,
    step_factor,
)
from oplstm_jax.nets.mlp import BATCH_MODES, MLP
from oplstm_jax.types import Array, Episode, Learner, Params, Split


@checks_arguments
def op_lstm(
    base: MLP,
    passes: int,
    output_rule: UpdateRule | None = None,
    hidden_rule: UpdateRule | None = None,
    gamma: float | None = 0.025,
    backprop_through_predictions: bool = True,
    adapt_biases: bool = False,
    low_rank: bool | None = None,
) -> Learner:
    """Makes the learner.

    base: the base-learner, with `outputs` set; without batch normalisation its activations are what the rules read and
        what the outer products are taken with, with it the linear outputs before normalisation are (the reference).
    passes: T, passes over the support set.
    output_rule, hidden_rule: of the output layer and of all hidden layers; `coordinate_lstm((5, 5, 1))` if not given.
    gamma: start value of the meta-learned joint norm of a pass's updates; None uses updates as they are.
    backprop_through_predictions: False makes activations, predictions and messages constants as inputs of the rules.
    adapt_biases: also moves every layer's bias, by the mean output (times gamma where used).
    low_rank: keep the factors of the updates instead of adding them to the kernels; None chooses what is smaller.

    params: base, output_rule, hidden_rule and, where used, gamma [1].
    info per pass: updates (a tuple of [T, D_in, D_out] per layer, as applied), messages (a tuple of [T, M, D] per
    layer; the last is the target), outputs [T, M, C] before the update.
    """
    output_rule, hidden_rule = output_rule or coordinate_lstm(), hidden_rule or coordinate_lstm()
    if base.outputs is None:
        raise ValueError("op_lstm needs a base-learner with an output layer: set MLP(outputs=C)")
    outputs = base.outputs
    layers = (*(f"dense_{layer}" for layer in range(len(base.hidden))), "out")
    kinds = ("hidden_rule",) * len(base.hidden) + ("output_rule",)
    rules = {"hidden_rule": hidden_rule, "output_rule": output_rule}
    constant = (lambda x: x) if backprop_through_predictions else jax.lax.stop_gradient

    def init(key, episode: Episode):
        keys = jax.random.split(key, 3)
        params = {
            "base": base.init(keys[0], episode.support.x)["params"],
            "output_rule": output_rule.init(keys[1], 2, outputs),
            "hidden_rule": hidden_rule.init(keys[2], 2, 0),
        }
        if gamma is not None:
            params["gamma"] = jnp.full((1,), gamma, jnp.float32)
        return params

    def adapt(params, support: Split, *, key=None):
        x = support.x.reshape(support.x.shape[0], -1)
        examples, widths = x.shape[0], (x.shape[1], *base.hidden, outputs)
        smaller = fast_weights.prefer_factors(widths, passes * examples)
        factored = passes > 0 and (smaller if low_rank is None else low_rank)
        norm = params["gamma"][0] if gamma is not None else None

        def one_pass(carry, number):
            fast, states = carry
            outputs, zs = fast_weights.trace(base, fast, x)
            emitted = emit(params, fast, states, support.y, (*zs, outputs))
            spread = [_unit_scale(base, fast.weights, layer, z) for layer, z in enumerate(zs)]
            scaled = [e.output * s for e, s in zip(emitted, (*spread, 1.0), strict=True)]
            inputs = (x, *zs)
            factor = step_factor(sum(map(outer_product_square, inputs, scaled)), norm)
            updates = tuple(outer_product(u, factor * o) for u, o in zip(inputs, scaled, strict=True))
            for layer, u, o, update in zip(layers, inputs, scaled, updates, strict=True):
                if factored:
                    fast = fast_weights.keep_factors(fast, layer, u, factor * o / examples, number * examples)
                else:
                    fast = fast_weights.add_update(fast, layer, update)
                if adapt_biases:
                    fast = fast_weights.add_bias(fast, layer, jnp.mean(o, 0) * (1.0 if norm is None else norm))
            info = {"updates": updates, "messages": tuple(e.message for e in emitted)}
            return (fast, tuple(e.state for e in emitted)), {**info, "outputs": outputs}

        rows = passes * examples if factored and passes != 1 else 0
        fast = fast_weights.start(params["base"], layers, rows)
        states = tuple(rules[k].start(params[k], examples, w, passes) for k, w in zip(kinds, widths[1:], strict=True))
        (fast, _), info = run_passes(one_pass, (fast, states), passes)
        return {"net": fast, "stats": fast_weights.support_stats(base, fast, x)}, info

    def emit(params, fast, states, targets, zs) -> list[Emitted]:
        """Runs the rules from the output layer down with this pass's weights; zs ends with the predictions."""
        emitted, message = [], targets
        for layer in reversed(range(len(layers))):
            is_output, kind, seen = layer == len(layers) - 1, kinds[layer], constant(zs[layer])
            pair = (message, seen) if is_output else (seen, constant(message))
            state, out = rules[kind].step(params[kind], states[layer], jnp.stack(pair))
            emitted.append(Emitted(state, message, out))
            if layer:
                message = fast_weights.backward(fast, layers[layer], out)
        return emitted[::-1]

    def predict(params, fast, x):
        return fast_weights.query(base, fast["net"], fast["stats"], x)

    return Learner(init, adapt, predict)


class Emitted(NamedTuple):
    """What one layer's rule did in one pass: its next state, the message it read [M, D] and its output o [M, D].

    For the output layer the message is the target.
    """

    state: Any
    message: Array
    output: Array


def _unit_scale(base: MLP, weights: Params, layer: int, z: Array) -> Array:
    """g_l / s_l [1, D] of a batch-normalised hidden layer with linear outputs z [M, D] (s sums, no mean); else 1."""
    if base.norm not in BATCH_MODES:
        return jnp.ones((1, 1), z.dtype)
    spread = jnp.sqrt(jnp.sum(jnp.square(z - jnp.mean(z, 0, keepdims=True)), 0, keepdims=True) + 1e-7)
    return weights[f"norm_{layer}"]["scale"][None] / spread
