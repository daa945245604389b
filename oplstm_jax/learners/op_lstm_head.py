"""OP-LSTM on the last layer of any feature extractor (paper section 5).

Features a = f(x); fast weights W start at meta-learned W_0; in each pass the update rule looks at (target, prediction)
of every example and class, and the mean outer product of its outputs with the features moves W.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.learners.arguments import check_ways, checks_arguments
from oplstm_jax.learners.features import embed_query, embed_support, init_features
from oplstm_jax.learners.rules import (
    UpdateRule,
    outer_product,
    outer_product_square,
    run_passes,
    step_factor,
    take_rule,
)
from oplstm_jax.nets.init import fan_in_kernel, uniform
from oplstm_jax.types import Episode, Learner, Split

SIGNALS = ("target_prediction", "target")


@checks_arguments
def op_lstm_head(
    features: nn.Module | None,
    passes: int,
    rule: UpdateRule | None = None,
    gamma: float | None = 0.025,
    backprop_through_predictions: bool = True,
    adapt_bias: bool = False,
    step_size: bool = False,
    signals: str = "target_prediction",
    scalar_bias: bool = True,
) -> Learner:
    """Makes the learner.

    features: maps x [M, ...] to [M, d] (or more dimensions, which are flattened); None takes the inputs themselves.
    passes: T, passes over the support set.
    rule: what computes the outputs; `coordinate_lstm((5, 5, 1))` if not given, `full_lstm` reads all classes at once.
    gamma: start value of the meta-learned norm of each update; None uses updates as they are.
    backprop_through_predictions: False makes predictions constants as inputs of the rule.
    adapt_bias: also moves the output bias, by the mean output (times step size and gamma where used).
    step_size: a meta-learned factor, started at 1, on every update.
    signals: what the rule reads, `target_prediction` or `target` alone.
    scalar_bias: the meta-learned bias is one number added to all outputs (the reference), else one per output.

    params: features, kernel [d, C], bias [1] or [C], rule, and gamma [1], step_size [1] where used.
    info per pass: update [T, d, C] as applied, outputs [T, M, C] before it.
    """
    rule = take_rule(rule)
    if signals not in SIGNALS:
        raise ValueError(f"unknown signals {signals!r}: expected one of {', '.join(SIGNALS)}")

    def init(key, episode: Episode):
        keys = jax.random.split(key, 4)
        net, width = init_features(features, keys[0], episode.support.x)
        units = episode.support.y.shape[1]
        count = len(signals.split("_"))
        params = {
            **net,
            "kernel": fan_in_kernel(keys[1], (width, units)),
            "bias": uniform(1 / math.sqrt(count))(keys[2], (1 if scalar_bias else units,)),
            "rule": rule.init(keys[3], count, units),
        }
        if gamma is not None:
            params["gamma"] = jnp.full((1,), gamma, jnp.float32)
        if step_size:
            params["step_size"] = jnp.ones((1,))
        return params

    def adapt(params, support: Split, *, key=None):
        a, stats = embed_support(features, params, support.x)
        y = support.y
        check_ways(y, params["kernel"].shape[1])
        scale = params["step_size"][0] if step_size else 1.0
        norm = params["gamma"][0] if gamma is not None else None
        bias_scale = scale if norm is None else scale * norm

        def one_pass(carry, _):
            kernel, bias, state = carry
            outputs = a @ kernel + bias
            seen = outputs if backprop_through_predictions else jax.lax.stop_gradient(outputs)
            read = jnp.stack((y, seen) if signals == "target_prediction" else (y,))
            state, emitted = rule.step(params["rule"], state, read)
            factor = scale * step_factor(outer_product_square(a, emitted), norm)
            update = outer_product(a, factor * emitted)
            if adapt_bias:
                bias = bias + bias_scale * jnp.mean(emitted, 0, keepdims=True)
            return (kernel + update, bias, state), {"update": update, "outputs": outputs}

        bias = jnp.broadcast_to(params["bias"][None], (1, y.shape[1]))
        start = (params["kernel"], bias, rule.start(params["rule"], y.shape[0], y.shape[1], passes))
        (kernel, bias, _), info = run_passes(one_pass, start, passes, small=True)
        return {"kernel": kernel, "bias": bias, "stats": stats}, info

    def predict(params, fast, x):
        return embed_query(features, params, fast["stats"], x) @ fast["kernel"] + fast["bias"]

    return Learner(init, adapt, predict)
