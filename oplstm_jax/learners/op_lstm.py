"""OP-LSTM on every layer of a fully connected base-learner (paper section 5; SPEC §3).

Each pass runs the support set forward, then goes from the output layer down: the layer's update rule reads each unit's
activation and the message from above, and the mean outer product of what it emits with the layer's input is the update.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.learners.rules import UpdateRule, coordinate_lstm, normalised_step, outer_product
from oplstm_jax.nets.mlp import BATCH_MODES, MLP
from oplstm_jax.nets.norm import apply_query, apply_support
from oplstm_jax.types import Array, Episode, Learner, Split


class Emitted(NamedTuple):
    """What one layer's rule did in one pass: its next state, the message it read [M, D] and its output o [M, D].

    For the output layer the message is the target.
    """

    state: Any
    message: Array
    output: Array


def op_lstm(
    base: MLP,
    passes: int,
    output_rule: UpdateRule | None = None,
    hidden_rule: UpdateRule | None = None,
    gamma: float | None = 0.025,
    backprop_through_predictions: bool = True,
    adapt_biases: bool = False,
) -> Learner:
    """Makes the learner.

    base: the base-learner, with `outputs` set; without batch normalisation its activations are what the rules read and
        what the outer products are taken with, with it the linear outputs before normalisation are (the reference).
    passes: T, passes over the support set.
    output_rule, hidden_rule: of the output layer and of all hidden layers; `coordinate_lstm((5, 5, 1))` if not given.
    gamma: start value of the meta-learned joint norm of a pass's updates; None uses updates as they are.
    backprop_through_predictions: False makes activations, predictions and messages constants as inputs of the rules.
    adapt_biases: also moves every layer's bias, by the mean output (times gamma where used).

    params: base, output_rule, hidden_rule and, where used, gamma [1].
    info per pass: updates (a tuple of [T, D_in, D_out] per layer, as applied), messages (a tuple of [T, M, D] per
    layer; the last is the target), outputs [T, M, C] before the update.
    """
    output_rule, hidden_rule = output_rule or coordinate_lstm(), hidden_rule or coordinate_lstm()
    if passes < 0:
        raise ValueError(f"passes {passes}: expected 0 or more")
    if base.outputs is None:
        raise ValueError("op_lstm needs a base-learner with an output layer: set MLP(outputs=C)")
    layers = (*(f"dense_{layer}" for layer in range(len(base.hidden))), "out")
    widths = (*base.hidden, base.outputs)

    def init(key, episode: Episode):
        keys = jax.random.split(key, 3)
        params = {
            "base": base.init(keys[0], episode.support.x)["params"],
            "output_rule": output_rule.init(keys[1], 2, base.outputs),
            "hidden_rule": hidden_rule.init(keys[2], 2, 0),
        }
        if gamma is not None:
            params["gamma"] = jnp.full((1,), gamma)
        return params

    def rule_of(params, layer: int):
        if layer == len(layers) - 1:
            return output_rule, params["output_rule"]
        return hidden_rule, params["hidden_rule"]

    def emit(params, net, states, support: Split, outputs, zs) -> list[Emitted]:
        """Runs the rules from the output layer down with this pass's weights; z, p and messages as SPEC §3 says."""
        constant = (lambda x: x) if backprop_through_predictions else jax.lax.stop_gradient
        emitted, message, seen = [], support.y, outputs
        for layer in reversed(range(len(layers))):
            rule, rule_params = rule_of(params, layer)
            pair = (message, constant(seen)) if layer == len(layers) - 1 else (constant(seen), constant(message))
            state, out = rule.step(rule_params, states[layer], jnp.stack(pair))
            emitted.append(Emitted(state, message, out))
            if layer:
                message, seen = out @ net[layers[layer]]["kernel"].T, zs[layer - 1]
        return emitted[::-1]

    def adapt(params, support: Split, *, key=None):
        norm = params["gamma"][0] if gamma is not None else None
        bias_scale = 1.0 if norm is None else norm
        flat = support.x.reshape(support.x.shape[0], -1)

        def one_pass(carry, _):
            net, states = carry
            (outputs, zs), _ = apply_support(base, net, support.x, method="trace")
            emitted = emit(params, net, states, support, outputs, zs)
            scaled = [_unit_scale(base, net, layer, z) * e.output for layer, (z, e) in enumerate(zip(zs, emitted))]
            scaled.append(emitted[-1].output)
            updates = tuple(outer_product(u, o) for u, o in zip((flat, *zs), scaled, strict=True))
            updates = normalised_step(updates, norm)
            net = dict(net)
            for name, update, o in zip(layers, updates, scaled, strict=True):
                bias = net[name]["bias"] + bias_scale * jnp.mean(o, 0) if adapt_biases else net[name]["bias"]
                net[name] = {"kernel": net[name]["kernel"] + update, "bias": bias}
            info = {"updates": updates, "messages": tuple(e.message for e in emitted), "outputs": outputs}
            return (net, tuple(e.state for e in emitted)), info

        examples = support.x.shape[0]
        states = []
        for layer, width in enumerate(widths):
            rule, rule_params = rule_of(params, layer)
            states.append(rule.start(rule_params, examples, width))
        (net, _), info = jax.lax.scan(jax.checkpoint(one_pass), (dict(params["base"]), tuple(states)), length=passes)
        _, stats = apply_support(base, net, support.x)
        return {"base": net, "stats": stats}, info

    def predict(params, fast, x):
        return apply_query(base, fast["base"], fast["stats"], x)

    return Learner(init, adapt, predict)


def _unit_scale(base: MLP, net, layer: int, z: Array) -> Array:
    """g_l / s_l [1, D] of a batch-normalised hidden layer with linear outputs z [M, D] (s: a sum, not a mean); else 1."""
    if base.norm not in BATCH_MODES:
        return jnp.ones((1, 1), z.dtype)
    spread = jnp.sqrt(jnp.sum(jnp.square(z - jnp.mean(z, 0, keepdims=True)), 0, keepdims=True) + 1e-7)
    return net[f"norm_{layer}"]["scale"][None] / spread
