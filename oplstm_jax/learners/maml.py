"""MAML: gradient steps on the support loss from meta-learned initial weights (Finn et al. 2017; SPEC §4)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.nets.norm import apply_query, apply_support
from oplstm_jax.types import Array, Episode, Learner, Loss, Params, Split


def maml(
    net: nn.Module, loss: Loss, passes: int, inner_lr: float, second_order: bool = True, clip: float | None = None
) -> Learner:
    """Makes the learner.

    net: maps x [M, ...] to outputs [M, C]; all of its parameters adapt, those of normalisation layers too.
    passes: T, inner gradient steps. inner_lr: their size.
    second_order: False makes the inner gradients constants of the meta-gradient.
    clip: bound on every entry of the inner gradients (second-order gradients pass through it), None for no bound.

    params: those of the network. info per pass: loss [T] and outputs [T, M, C] before the step, updates (a tree of
    [T, ...]) as applied.
    """
    if passes < 0:
        raise ValueError(f"passes {passes}: expected 0 or more")

    def init(key, episode: Episode):
        return net.init(key, episode.support.x)["params"]

    def adapt(params: Params, support: Split, *, key=None):
        def one_pass(weights, _):
            (value, outputs), grads = jax.value_and_grad(support_loss, has_aux=True)(weights, support)
            updates = jax.tree.map(inner_update, grads)
            return jax.tree.map(jnp.add, weights, updates), {"loss": value, "outputs": outputs, "updates": updates}

        weights, info = jax.lax.scan(one_pass, params, length=passes)
        _, stats = apply_support(net, weights, support.x)
        return {"weights": weights, "stats": stats}, info

    def support_loss(weights: Params, support: Split):
        outputs, _ = apply_support(net, weights, support.x)
        return loss(outputs, support.y), outputs

    def inner_update(grad: Array) -> Array:
        if not second_order:
            grad = jax.lax.stop_gradient(grad)
        return -inner_lr * (grad if clip is None else jnp.clip(grad, -clip, clip))

    def predict(params, fast, x):
        return apply_query(net, fast["weights"], fast["stats"], x)

    return Learner(init, adapt, predict)
