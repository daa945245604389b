"""Learning a task by gradient steps on its support loss, shared by MAML, SAP and Warp-MAML.

What adapts is chosen by the path of a parameter, such as `conv_1/kernel`; gradients of the others are never computed.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.nets.norm import apply_query, apply_support
from oplstm_jax.types import Array, Episode, Info, Learner, Loss, Objective, Params, Split

SMALL = 1 << 16  # parameters below which launching the operations of a step takes as long as what they compute
MANY = 8  # passes from which on unrolling pairs of them is worth its compilation


class InnerLoop(NamedTuple):
    """How a network learns a task.

    net: maps x [M, ...] to outputs [M, C]. loss: of the support set. inner_lr: size of a step.
    second_order: False makes the inner gradients constants of the meta-gradient.
    clip: bound on every entry of the inner gradients (second-order gradients pass through it), None for no bound.
    adapted: path of a parameter -> whether it adapts.
    recompute: keep only the weights between steps for the way back and compute the rest again: less memory, more work.
    """

    net: nn.Module
    loss: Loss
    inner_lr: float
    second_order: bool
    clip: float | None
    adapted: Callable[[str], bool]
    recompute: bool = False


def inner_step(loop: InnerLoop, weights: Params, support: Split) -> tuple[Params, Info]:
    """One gradient step: (weights, info of this pass: loss and outputs [M, C] before it, updates as applied)."""

    def support_loss(weights: Params):
        outputs, _ = apply_support(loop.net, weights, support.x)
        return loop.loss(outputs, support.y), outputs

    def update(path, grad: Array) -> Array:
        if not loop.adapted(jax.tree_util.keystr(path, simple=True, separator="/")):
            return jnp.zeros_like(grad)
        if not loop.second_order:
            grad = jax.lax.stop_gradient(grad)
        return -loop.inner_lr * (grad if loop.clip is None else _bounded(grad, loop.clip))

    (value, outputs), grads = jax.value_and_grad(support_loss, has_aux=True)(weights)
    updates = jax.tree_util.tree_map_with_path(update, grads)
    return jax.tree.map(jnp.add, weights, updates), {"loss": value, "outputs": outputs, "updates": updates}


def _bounded(grad: Array, clip: float) -> Array:
    """grad with every entry in [-clip, clip]; the derivative keeps one mask, that of `jnp.clip` four to halve ties."""
    bound = jnp.clip(jax.lax.stop_gradient(grad), -clip, clip)
    return jnp.where(grad == bound, grad, bound)


def kept_or_recomputed(loop: InnerLoop, one_pass: Callable) -> Callable:
    """The body of a scan over passes, as `loop.recompute` says."""
    return jax.checkpoint(one_pass) if loop.recompute else one_pass


def gradient_learner(loop: InnerLoop, passes: int, objective: Objective | None = None) -> Learner:
    """The learner that takes T = `passes` steps from the meta-learned weights of the network.

    params: those of the network. info per pass: loss [T] and outputs [T, M, C] before the step, updates (a tree of
    [T, ...]) as applied, zero where a parameter does not adapt. Raises ValueError for a negative number of passes, and
    for a step size or a clip that is not above 0.
    """
    if passes < 0:
        raise ValueError(f"passes {passes}: expected 0 or more")
    for name, value in (("inner_lr", loop.inner_lr), ("clip", loop.clip)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} is {value}: expected above 0")

    def init(key, episode: Episode):
        return loop.net.init(key, episode.support.x)["params"]

    def adapt(params: Params, support: Split, *, key=None):
        step = kept_or_recomputed(loop, lambda weights, _: inner_step(loop, weights, support))
        small = sum(weight.size for weight in jax.tree.leaves(params)) < SMALL
        weights, info = jax.lax.scan(step, params, length=passes, unroll=2 if small and passes >= MANY else 1)
        _, stats = apply_support(loop.net, weights, support.x)
        return {"weights": weights, "stats": stats}, info

    def predict(params: Params, fast, x: Array):
        return apply_query(loop.net, fast["weights"], fast["stats"], x)

    return Learner(init, adapt, predict, objective)
