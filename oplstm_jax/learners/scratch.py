"""Training from scratch: a fresh network for every task, the floor of what meta-learning has to beat."""

import flax.linen as nn

from oplstm_jax.learners.arguments import as_precise, checks_arguments
from oplstm_jax.learners.descent import descend, make_optimiser
from oplstm_jax.nets.norm import apply_query, apply_support
from oplstm_jax.types import Episode, Learner, Loss, Split


@checks_arguments
def scratch(net: nn.Module, loss: Loss, steps: int, learning_rate: float = 1e-3, optimiser: str = "adam") -> Learner:
    """Makes the learner.

    net: maps x [M, ...] to outputs [M, C]; `adapt` draws its initial weights from the key, which it needs.
    steps: optimiser steps on the whole support set, counted as passes. optimiser: `adam` or `sgd`.

    params: {}, nothing is meta-learned. info per step: loss [T] and outputs [T, M, C] before it.
    """
    if steps < 0:
        raise ValueError(f"steps {steps}: expected 0 or more")
    transform = make_optimiser(optimiser, learning_rate)

    def init(key, episode: Episode):
        return {}

    def adapt(params, support: Split, *, key=None):
        if key is None:
            raise ValueError("scratch draws a network for every task: adapt needs a key")

        def support_loss(weights):
            outputs, _ = apply_support(net, weights, support.x)
            return loss(outputs, support.y), outputs

        start = as_precise(net.init(key, support.x)["params"], [support.x])
        weights, info = descend(support_loss, start, transform, steps)
        _, stats = apply_support(net, weights, support.x)
        return {"weights": weights, "stats": stats}, info

    def predict(params, fast, x):
        return apply_query(net, fast["weights"], fast["stats"], x)

    return Learner(init, adapt, predict)
