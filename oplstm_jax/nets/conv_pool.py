"""Convolution of images, its statistics and max pooling in one: the first block of Conv-4 on NVIDIA GPUs.

What a 3x3 convolution of 84x84 colour images writes is 21 times what it reads, and Conv-4 needs of it only a mean, a
variance and the maximum of every 2x2 window. `nets/conv_pool_kernels.py` computes a tile of it from the pixels, uses
it and forgets it, on the way back once more.
"""

import functools
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.nets import gpu
from oplstm_jax.types import Array

MOST_FEATURES = 4  # of a pixel


class Pooled(NamedTuple):
    """maximum [M, H // 2, W // 2, G] of every window, and mean and variance [G] of what the windows are taken from."""

    maximum: Array
    mean: Array
    variance: Array


class Convolution(NamedTuple):
    """A 3x3 convolution y [M, H, W, G] of images x [M, H, W, F] with kernel [3, 3, F, G], not carried out yet."""

    x: Array
    kernel: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Of y."""
        return (*self.x.shape[:3], self.kernel.shape[-1])

    def pooled(self, sign: Array) -> Pooled:
        """See `conv_pool`."""
        return conv_pool(self.x, self.kernel.astype(self.x.dtype), sign)


@functools.cache
def available() -> bool:
    """Whether this process computes on an NVIDIA GPU whose kernels can be written here, and may use them."""
    if not gpu.wanted("KERNELS") or gpu.compute_capability() < 8:
        return False
    try:
        _kernels()
    except (ImportError, AttributeError):
        return False
    return True


def _kernels() -> ModuleType:
    """Imported where needed: it takes time, and later versions of JAX may lack what they are written in."""
    from oplstm_jax.nets import conv_pool_kernels

    return conv_pool_kernels


def fits(shape: tuple[int, ...], filters: int) -> bool:
    """Whether `conv_pool` takes images [M, H, W, F] of this shape and kernels with so many filters."""
    even = len(shape) == 4 and shape[1] % 2 == shape[2] % 2 == 0
    return even and shape[3] <= MOST_FEATURES and filters >= 16 and filters.bit_count() == 1


@jax.custom_vjp
def conv_pool(x: Array, kernel: Array, sign: Array) -> Pooled:
    """Of y = conv3x3(x, kernel) the maximum of sign * y over 2x2 windows, times sign, and the moments of y.

    x [M, H, W, F] with F <= 4, H and W even; kernel [3, 3, F, G], G a power of two from 16; sign [G] of 1 and -1.
    First derivatives with respect to the kernel only: those with respect to x are zero. Of equal numbers in a window
    the first has the gradient. Raises ValueError for shapes that do not fit.
    """
    if not fits(x.shape, kernel.shape[-1]):
        raise ValueError(
            f"images {x.shape}, kernel {kernel.shape}: expected [M, H, W, F] and [3, 3, F, G], H and W even, "
            f"F at most {MOST_FEATURES}, G a power of two from 16"
        )
    return Pooled(*_kernels().forward(x, kernel, sign))


def _kept(x: Array, kernel: Array, sign: Array) -> tuple[Pooled, Any]:
    found = conv_pool(x, kernel, sign)
    return found, (x, kernel, sign, found.mean)


def _gradients(kept: Any, g: Pooled) -> tuple[Array, Array, Array]:
    """y gets g.maximum where it is the maximum, and from its own mean and variance level + slope y everywhere."""
    x, kernel, sign, mean = kept
    slope = 2 * g.variance / x[..., 0].size
    level = g.mean / x[..., 0].size - slope * mean
    grads = _kernels().backward(x, kernel, sign, level, slope, g.maximum)
    return jnp.zeros_like(x), grads.astype(kernel.dtype), jnp.zeros_like(sign)


conv_pool.defvjp(_kept, _gradients)
