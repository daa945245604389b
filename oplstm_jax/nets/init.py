"""Initial values as PyTorch draws them, which the published numbers start from."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.types import Array

# U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for kernels [..., in, out] of linear and convolution layers.
fan_in_kernel = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform", dtype=jnp.float32)


def uniform(bound: float) -> Callable[..., Array]:
    """An initialiser (key, shape, dtype) -> U(-bound, bound)."""

    def init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def fan_in_bias(fan_in: int) -> Callable[..., Array]:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for the bias of a layer that sums `fan_in` inputs."""
    return uniform(1 / math.sqrt(fan_in))
