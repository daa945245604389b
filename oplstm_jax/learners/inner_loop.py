"""Learning a task by gradient steps on its support loss, shared by MAML, SAP and Warp-MAML.

What adapts is chosen by the path of a parameter, such as `conv_1/kernel`; gradients of the others are never computed.

The gradient of a linear layer's kernel is u^T d: u [M, D_in] is what the layer reads, d [M, D_out] the derivative of
the loss with respect to what comes out of it. Where the whole of an MLP adapts, these factors can take its place.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.learners import fast_weights
from oplstm_jax.learners.fast_weights import FastWeights
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.norm import apply_support
from oplstm_jax.types import Array, Episode, Info, Learner, Loss, Objective, Params, Split
from oplstm_jax.varying import alike

SMALL = 1 << 16  # parameters below which launching the operations of a step takes as long as what they compute
MANY = 8  # passes from which on unrolling pairs of them is worth its compilation


class InnerLoop(NamedTuple):
    """How a network learns a task.

    net: maps x [M, ...] to outputs [M, C]. loss: of the support set. inner_lr: size of a step.
    second_order: False makes the inner gradients constants of the meta-gradient.
    clip: bound on every entry of the inner gradients (second-order gradients pass through it), None for no bound.
    adapted: path of a parameter -> whether it adapts.
    recompute: keep only the weights between steps for the way back and compute the rest again: less memory, more work.
    low_rank: keep the factors of the kernels' gradients instead of adding them, which takes an MLP all of which adapts
    and no clip; None does so where they are smaller.
    """

    net: nn.Module
    loss: Loss
    inner_lr: float
    second_order: bool
    clip: float | None
    adapted: Callable[[str], bool]
    recompute: bool = False
    low_rank: bool | None = False


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


def factored_step(loop: InnerLoop, fast: FastWeights, support: Split, row: int | Array) -> tuple[FastWeights, Info]:
    """`inner_step` of an MLP, which keeps the factors of the kernels' changes, in rows from `row` on."""
    kernels = {name: {"kernel": own["kernel"]} for name, own in fast.weights.items() if "kernel" in own}
    others = {name: {key: own[key] for key in own if key != "kernel"} for name, own in fast.weights.items()}
    like = {name: own["kernel"][0] for name, own in kernels.items()}
    probes = {name: {"y": jnp.zeros((len(support.x), row.size), row.dtype)} for name, row in like.items()}

    def support_loss(others: Params, probes: Params):
        variables = {"params": _joined(others, kernels), "factors": fast.factors, "probes": probes}
        outputs, kept = loop.net.apply(variables, support.x, mutable=["read", "stats"])
        return loop.loss(outputs, support.y), (outputs, kept["read"])

    derivative = jax.value_and_grad(support_loss, (0, 1), has_aux=True)
    (value, (outputs, read)), grads = derivative(others, alike(probes, fast, support))
    if not loop.second_order:
        read, grads = jax.lax.stop_gradient((read, grads))
    changes, errors = jax.tree.map(lambda grad: -loop.inner_lr * grad, grads)
    updates = {name: {"kernel": read[name]["x"].T @ errors[name]["y"]} for name in kernels}
    for name in kernels:
        fast = fast_weights.keep_factors(fast, name, read[name]["x"], errors[name]["y"], row)
    fast = fast._replace(weights=_joined(jax.tree.map(jnp.add, others, changes), kernels))
    return fast, {"loss": value, "outputs": outputs, "updates": _joined(changes, updates)}


def _joined(others: Params, kernels: Params) -> Params:
    return {name: {**own, **kernels.get(name, {})} for name, own in others.items()}


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
    if loop.low_rank and not (isinstance(loop.net, MLP) and loop.clip is None):
        raise ValueError("low_rank is True: expected False or None for a network that is no MLP, and for a clip")

    def init(key, episode: Episode):
        return loop.net.init(key, episode.support.x)["params"]

    def adapt(params: Params, support: Split, *, key=None):
        fast, info = _run(loop, params, support, passes)
        return {"net": fast, "stats": fast_weights.support_stats(loop.net, fast, support.x)}, info

    def predict(params: Params, fast, x: Array):
        return fast_weights.query(loop.net, fast["net"], fast["stats"], x)

    return Learner(init, adapt, predict, objective)


def _run(loop: InnerLoop, params: Params, support: Split, passes: int) -> tuple[FastWeights, Info]:
    """`passes` inner steps. The only one, if its changes are kept as factors, has none to begin with."""
    examples, small = len(support.x), sum(weight.size for weight in jax.tree.leaves(params)) < SMALL
    layers = _layers_of_factors(loop, params, passes * examples)

    def one_pass(fast: FastWeights, number):
        if layers:
            return factored_step(loop, fast, support, number * examples)
        weights, info = inner_step(loop, fast.weights, support)
        return FastWeights(weights, {}), info

    fast = fast_weights.start(params, layers, passes * examples if layers and passes > 1 else 0)
    if layers and passes == 1:
        fast, info = one_pass(fast, 0)
        return fast, jax.tree.map(lambda a: a[None], info)
    unroll = 2 if small and passes >= MANY else 1
    return jax.lax.scan(kept_or_recomputed(loop, one_pass), fast, jnp.arange(passes), unroll=unroll)


def _layers_of_factors(loop: InnerLoop, params: Params, rows: int) -> tuple[str, ...]:
    """Layers of whose kernels `rows` factors of changes are kept; none where changes are added."""
    if not (isinstance(loop.net, MLP) and loop.clip is None and rows):
        return ()
    kernels = {name: own["kernel"].shape for name, own in params.items() if "kernel" in own}
    smaller = fast_weights.prefer_factors(list(kernels.values()), rows)
    return tuple(kernels) if (smaller if loop.low_rank is None else loop.low_rank) else ()
