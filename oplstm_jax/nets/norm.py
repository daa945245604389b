"""Normalisation without running statistics, and how a network is applied to the two halves of a task.

Modes, printed beside every score:

    transductive  each batch is normalised with its own statistics (support and query apart): the published mode
    support       the query is normalised with the statistics of the support set
    layer         every example by itself, over all of its features
    none          no normalisation, no parameters
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.nets.conv_pool import Convolution
from oplstm_jax.types import Array, Params

MODES = ("transductive", "support", "layer", "none")
OF_BATCHES = ("transductive", "support")  # one mean per feature, which takes away what all examples have in common
EPSILON = 1e-5
Stats = Any  # the support set's statistics, {} unless the mode is "support"


class Norm(nn.Module):
    """Normalises x [M, ..., F] per feature over all other dimensions (biased variance), then scales and shifts.

    In mode `layer` the statistics are those of each example over everything but the first dimension.
    """

    mode: str = "transductive"

    @nn.compact
    def __call__(self, x: Array | Convolution, pool: Callable[[Array], Array] | None = None) -> Array:
        """With `pool`, a maximum over windows, the result is that of pooling the normalised x.

        The maximum is taken first, of x or, where the scale is negative, of -x, so that only what is left of it is
        normalised. A `Convolution` is pooled over 2x2 windows as it is carried out, in a mode of OF_BATCHES.
        """
        check_mode(self.mode)
        if not isinstance(x, Convolution):
            if self.mode == "none":
                return pool(x) if pool else x
        elif self.mode not in OF_BATCHES:
            raise ValueError(f"norm {self.mode} of a pending convolution: expected one of {', '.join(OF_BATCHES)}")
        ones = (1,) * (len(x.shape) - 1)
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],)).reshape(*ones, -1)
        shift = self.param("shift", nn.initializers.zeros, (x.shape[-1],)).reshape(*ones, -1)
        sign = jnp.where(scale < 0, -1, 1)
        if isinstance(x, Convolution):
            x, *of_x = x.pooled(sign.ravel())
            of_x = [moment.reshape(*ones, -1) for moment in of_x]
            mean, variance = self._statistics(lambda: (of_x[0], of_x[1]))
        else:
            mean, variance = self._statistics(functools.partial(self._moments, x))
            x = sign.astype(x.dtype) * pool(sign.astype(x.dtype) * x) if pool else x
        return ((x - mean) * (scale / jnp.sqrt(variance + EPSILON)) + shift).astype(x.dtype)

    def _moments(self, x: Array) -> tuple[Array, Array]:
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        return moments(x, tuple(range(1, x.ndim)) if self.mode == "layer" else tuple(range(x.ndim - 1)))

    def _statistics(self, measure: Callable[[], tuple[Array, Array]]) -> tuple[Array, Array]:
        if self.mode == "support" and self.has_variable("stats", "mean") and not self.is_mutable_collection("stats"):
            return self.get_variable("stats", "mean"), self.get_variable("stats", "variance")
        mean, variance = measure()
        if self.mode == "support" and self.is_mutable_collection("stats"):
            self.put_variable("stats", "mean", mean)
            self.put_variable("stats", "variance", variance)
        return mean, variance


def moments(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and biased variance over `axes`, which are kept with size 1.

    Feature maps are read once: sums of x - k and of its square, k one value of each feature. Numbers near k keep the
    difference of the two sums exact enough; where that one is far outside the others, a few percent of the variance can
    be lost. Batches of vectors, and means over features, are read twice.
    """
    if x.ndim < 4 or x.ndim - 1 in axes:
        mean = jnp.mean(x, axes, keepdims=True)
        return mean, jnp.mean(jnp.square(x - mean), axes, keepdims=True)
    near = jax.lax.stop_gradient(x[:1, :1, :1])
    offset = jnp.mean(x - near, axes, keepdims=True)
    return near + offset, jnp.mean(jnp.square(x - near), axes, keepdims=True) - jnp.square(offset)


def check_mode(mode: str) -> None:
    """Raises ValueError for an unknown normalisation mode."""
    if mode not in MODES:
        raise ValueError(f"unknown norm {mode!r}: expected one of {', '.join(MODES)}")


def apply_support(
    net: nn.Module, params: Params, x: Array, method: str | None = None, factors: Params | None = None
) -> tuple[Any, Stats]:
    """Applies `net` to support inputs x [M, ...]: (what the method returns, statistics for `apply_query`).

    factors: low-rank changes of the layers of an MLP, see `oplstm_jax.nets.dense.Dense`.
    """
    outputs, stats = net.apply({"params": params, "factors": factors or {}}, x, mutable=["stats"], method=method)
    return outputs, stats


def apply_query(net: nn.Module, params: Params, stats: Stats, x: Array, factors: Params | None = None) -> Array:
    """Applies `net` to query inputs x [Q, ...], normalising as the mode of its `Norm` layers says."""
    outputs: Any = net.apply({"params": params, "factors": factors or {}, **stats}, x)
    return outputs
