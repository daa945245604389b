"""Products of weights with columns, features first, that keep features first in their derivatives and over tasks.

Bilinear functions, with derivatives that are calls of each other. Autodiff of the plain products would put columns
first and transpose them; `vmap` over tasks would put features before tasks, and transpose too. Where weights are
smaller than the columns of one task, every task therefore has its own product, and gradients of the weights are summed
afterwards.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from oplstm_jax.types import Array


def _rows(weights: Array, x: Array) -> Array:
    return jax.lax.dot_general(weights, x, (((1,), (0,)), ((), ())))


def _weight_gradient(gradient: Array, x: Array) -> Array:
    columns = tuple(range(1, x.ndim))
    return jax.lax.dot_general(gradient, x, ((columns, columns), ((), ())))


def _repeated(weights: Array, count: int, x: Array) -> Array:
    """weights for every task, [B, G, F]; where an explicit mesh has the tasks of x [B, ...] on devices, on the same."""
    where, shape = jax.typeof(x).sharding, (count, *weights.shape)
    if not where.spec or where.spec[0] is None:
        return jnp.broadcast_to(weights, shape)
    spec = PartitionSpec(where.spec[0], *(None,) * weights.ndim)
    return jnp.broadcast_to(weights, shape, out_sharding=where.update(spec=spec))


def _apart(product: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """`product` whose first argument is repeated for every task if it is shared by them and small."""
    batched = jax.custom_batching.custom_vmap(product)

    @batched.def_vmap
    def over_tasks(count, is_batched, first, x):
        if not is_batched[0] and is_batched[1] and len(first) < math.prod(x.shape[2:]):
            first, is_batched = _repeated(first, count, x), (True, True)
        return jax.vmap(product, [0 if has else None for has in is_batched])(first, x), True

    return batched


_rows_apart = _apart(_rows)


def rows(weights: Array, x: Array) -> Array:
    """weights [G, F] times x [F, ...]: [G, ...].

    Where columns do not outnumber the rows of the weights, derivatives are left to autodiff: it sums gradients of the
    weights over tasks as it forms them.
    """
    return _columns(weights, x) if len(weights) < math.prod(x.shape[1:]) else _rows(weights, x)


@jax.custom_vjp
def _columns(weights: Array, x: Array) -> Array:
    return _rows_apart(weights, x)


@jax.custom_vjp
def weight_gradient(gradient: Array, x: Array) -> Array:
    """Sum over columns of gradient [G, ...] times x [F, ...]: [G, F]."""
    return _weight_gradient(gradient, x)


_columns.defvjp(
    lambda weights, x: (_columns(weights, x), (weights, x)),
    lambda kept, g: (weight_gradient(g, kept[1]), rows(kept[0].T, g)),
)
weight_gradient.defvjp(
    lambda gradient, x: (weight_gradient(gradient, x), (gradient, x)),
    lambda kept, w: (rows(w, kept[1]), rows(w.T, kept[0])),
)
