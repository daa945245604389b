"""Fast weights of a network: meta-learned kernels changed by sums of outer products.

Either the outer products are added to the kernels, or, in a fully connected network, only their factors are kept: R =
T M rows per layer after T passes. Factors leave the kernels shared by all tasks, which makes the query set of a whole
meta-batch one matrix product.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.norm import Stats, apply_query, apply_support
from oplstm_jax.types import Array, Params
from oplstm_jax.varying import alike


class FastWeights(NamedTuple):
    """weights: parameters of the network. factors: by layer, inputs [R, D_in] and outputs [R, D_out] whose product
    inputs^T outputs comes on top of the kernel; {} where changes are in the weights."""

    weights: Params
    factors: Params


def prefer_factors(kernels: Sequence[tuple[int, ...]], rows: int) -> bool:
    """Whether `rows` factors per layer are smaller than kernels of these shapes (D_in, D_out)."""
    return rows * sum(map(sum, kernels)) < sum(map(math.prod, kernels))


def start(weights: Params, layers: tuple[str, ...], rows: int) -> FastWeights:
    """The network before the first pass, with room for `rows` factors in each of `layers`."""
    if not rows:
        return FastWeights(dict(weights), {})

    def room(kernel: Array) -> dict[str, Array]:
        widths = zip(("inputs", "outputs"), kernel.shape, strict=True)
        return {side: alike(jnp.zeros((rows, width), kernel.dtype), kernel) for side, width in widths}

    return FastWeights(dict(weights), {layer: room(weights[layer]["kernel"]) for layer in layers})


def backward(fast: FastWeights, layer: str, h: Array) -> Array:
    """h [M, D_out] times the transposed weights of a layer: [M, D_in]."""
    message = h @ fast.weights[layer]["kernel"].T
    if layer in fast.factors:
        message += h @ fast.factors[layer]["outputs"].T @ fast.factors[layer]["inputs"]
    return message


def add_update(fast: FastWeights, layer: str, update: Array) -> FastWeights:
    """Adds `update` [D_in, D_out] to the kernel of a layer."""
    old = fast.weights[layer]
    return fast._replace(weights={**fast.weights, layer: {**old, "kernel": old["kernel"] + update}})


def keep_factors(fast: FastWeights, layer: str, inputs: Array, outputs: Array, row: int | Array) -> FastWeights:
    """Keeps inputs [M, D_in] and outputs [M, D_out] as the factors of a layer from `row` on."""
    new = {"inputs": inputs, "outputs": outputs}
    if layer in fast.factors:
        old = fast.factors[layer]
        new = {side: jax.lax.dynamic_update_slice_in_dim(old[side], new[side], row, 0) for side in new}
    return fast._replace(factors={**fast.factors, layer: new})


def add_bias(fast: FastWeights, layer: str, change: Array) -> FastWeights:
    """Adds `change` [D_out] to the bias of a layer."""
    old = fast.weights[layer]
    return fast._replace(weights={**fast.weights, layer: {**old, "bias": old["bias"] + change}})


def merged(fast: FastWeights) -> Params:
    """Parameters of the network in which factors are added to the kernels."""
    for layer, factors in fast.factors.items():
        fast = add_update(fast, layer, factors["inputs"].T @ factors["outputs"])
    return fast.weights


def trace(base: MLP, fast: FastWeights, x: Array) -> tuple[Array, tuple[Array, ...]]:
    """`MLP.trace` of support inputs x [M, ...] with the fast weights."""
    return apply_support(base, fast.weights, x, method="trace", factors=fast.factors)[0]


def support_stats(base: nn.Module, fast: FastWeights, x: Array) -> Stats:
    """Statistics of support inputs x [M, ...] under the fast weights, as `query` takes them."""
    return apply_support(base, fast.weights, x, factors=fast.factors)[1]


def query(base: nn.Module, fast: FastWeights, stats: Stats, x: Array) -> Array:
    """Outputs [Q, C] of query inputs x [Q, ...] with the fast weights."""
    return apply_query(base, fast.weights, stats, x, factors=fast.factors)
