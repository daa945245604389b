"""3x3 convolution, stride 1, padding 1, fast on accelerators and on CPUs.

On a CPU, XLA runs convolutions inside loops fast only in the layout [M, H, W, F] x [3, 3, F, G] -> [M, H, W, G]; those
that autodiff writes are slower by a factor of 10 to 300. There, convolution and kernel gradient are therefore a pair of
bilinear functions, each with derivatives that are calls of the two, so derivatives of any order stay in that layout.
"""

import jax
import jax.numpy as jnp

from oplstm_jax.types import Array
from oplstm_jax.varying import alike

LAYOUT = ("NHWC", "HWIO", "NHWC")
BLOCK = 256 * 1024  # numbers of the input that a block of the weight gradient reads: about a megabyte, to stay in cache


def conv3x3(x: Array, kernel: Array) -> Array:
    """Images x [M, H, W, F] and kernel [3, 3, F, G] -> [M, H, W, G]."""
    return cpu_conv3x3(x, kernel) if jax.default_backend() == "cpu" else plain_conv3x3(x, kernel)


def plain_conv3x3(x: Array, kernel: Array) -> Array:
    """`conv3x3` whose derivatives are left to autodiff: best where a library has fast convolutions of every kind."""
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=LAYOUT)


@jax.custom_vjp
def cpu_conv3x3(x: Array, kernel: Array) -> Array:
    """`conv3x3` with derivatives for CPUs."""
    return plain_conv3x3(x, kernel)


@jax.custom_vjp
def kernel_gradient(x: Array, g: Array) -> Array:
    """Gradient [3, 3, F, G] of conv3x3(x, kernel) with respect to the kernel, from x [M, H, W, F] and g [M, H, W, G].

    A block of images at a time, as many as the cache holds.
    """
    examples, height, width, features = x.shape
    size = max(1, min(examples, BLOCK // (height * width * features)))
    blocks = examples // size
    if blocks == 1:
        return _block_gradient(x, g)
    whole = [a[: blocks * size].reshape(blocks, size, *a.shape[1:]) for a in (x, g)]

    def add(total, block):
        return total + _block_gradient(*block), None

    start = alike(jnp.zeros((3, 3, features, g.shape[-1]), x.dtype), x, g)
    if blocks * size < examples:
        start = _block_gradient(x[blocks * size :], g[blocks * size :])
    return jax.lax.scan(add, start, whole)[0]


def _block_gradient(x: Array, g: Array) -> Array:
    """The same for few enough images: a convolution with examples and features in each other's place."""
    height, width = x.shape[1:3]
    if x.shape[-1] < 8:  # too few to fill the vector units: patches times gradient
        one = (1, 1, 0)  # not `jnp.pad`, whose constant second derivatives inside a scan would take for a residual
        padded = jax.lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), one, one, (0, 0, 0)))
        shifts = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        return jnp.tensordot(jnp.stack(shifts, -2), g, ((0, 1, 2), (0, 1, 2))).reshape(3, 3, x.shape[-1], -1)
    x, g = jnp.transpose(x, (3, 1, 2, 0)), jnp.transpose(g, (1, 2, 0, 3))
    return jnp.transpose(plain_conv3x3(x, g), (1, 2, 0, 3))


def _turned(kernel: Array) -> Array:
    """The kernel of the transposed convolution: rotated by 180 degrees, features swapped."""
    return jnp.swapaxes(jnp.flip(kernel, (0, 1)), 2, 3)


cpu_conv3x3.defvjp(
    lambda x, kernel: (cpu_conv3x3(x, kernel), (x, kernel)),
    lambda kept, g: (cpu_conv3x3(g, _turned(kept[1])), kernel_gradient(kept[0], g)),
)
kernel_gradient.defvjp(
    lambda x, g: (kernel_gradient(x, g), (x, g)),
    lambda kept, k: (cpu_conv3x3(kept[1], _turned(k)), cpu_conv3x3(kept[0], k)),
)
