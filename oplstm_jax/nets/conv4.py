"""Conv-4, the convolutional base-learner of few-shot image classification."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.nets import conv_pool, gpu
from oplstm_jax.nets.conv import conv3x3
from oplstm_jax.nets.dense import Dense, flat
from oplstm_jax.nets.init import fan_in_bias, fan_in_kernel
from oplstm_jax.nets.norm import OF_BATCHES, Norm
from oplstm_jax.types import Array


class Conv4(nn.Module):
    """Blocks of [3x3 convolution, padding 1 -> norm -> ReLU -> 2x2 max pool], flattened, then a linear layer.

    Inputs are images [M, H, W, channels] with 2^blocks pixels or more per side; after four blocks 28x28 leaves 1x1
    pixels and 84x84 leaves 5x5. Features are flattened in the order (H, W, filters); with `outputs=None` they are the
    result. Parameters: `conv_0` .. with kernel [3, 3, in, out] and bias [out], `norm_0` .. with scale and shift, and
    `out` with kernel [in, out] and bias [out].

    precision: float32, or bfloat16 for images, feature maps and convolutions; parameters, statistics of the
    normalisation and what follows the blocks keep their own.
    fused: the first block in one kernel (`nets/conv_pool.py`) where that fits: on NVIDIA GPUs, with statistics of
    batches, for first derivatives and images that need none. There it also keeps feature maps in the order of
    `gpu.features_last`, which suits kernels that all tasks share.
    """

    filters: int = 64
    outputs: int | None = None
    norm: str = "transductive"
    blocks: int = 4
    precision: str = "float32"
    fused: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        check_images(x, self.blocks)
        fused = (
            self.fused and self.norm in OF_BATCHES and conv_pool.available() and conv_pool.fits(x.shape, self.filters)
        )
        given = x.dtype
        if self.precision != "float32":
            x = x.astype(self.precision)
        keep = gpu.features_last if self.fused else lambda x: x
        for block in range(self.blocks):
            pending = fused and block == 0
            x = Conv3x3(self.filters, pending=pending, biased=not fused, name=f"conv_{block}")(x)
            x = Norm(self.norm, name=f"norm_{block}")(x if pending else keep(x), max_pool)
            x = keep(jax.nn.relu(x))  # the ReLU commutes with the maximum
        x = flat(x).astype(given)
        return x if self.outputs is None else output_layer(self.outputs, x.shape[-1])(x)


def output_layer(outputs: int, features: int) -> Dense:
    """The linear layer `out` at the end of a network, from features [M, features] to outputs [M, outputs]."""
    return Dense(outputs, fan_in_bias(features), name="out")


class Conv3x3(nn.Module):
    """3x3 convolution, stride 1, padding 1, of x [M, H, W, F]: [M, H, W, filters]. Parameters: kernel and bias.

    `change`, if given, is applied to the kernel [3, 3, F, filters] before it is used.
    pending: leaves the convolution to the normalisation that follows.
    biased: False does not add the bias, which a normalisation by statistics of batches would take away again; its
    gradient is then zero, and not only nearly so.
    """

    filters: int
    kernel_init: Callable[..., Array] = fan_in_kernel
    bias_init: Callable[..., Array] | None = None
    pending: bool = False
    biased: bool = True

    @nn.compact
    def __call__(self, x: Array, change: Callable[[Array], Array] | None = None) -> Any:
        features = x.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (3, 3, features, self.filters))
        bias = self.param("bias", self.bias_init or fan_in_bias(9 * features), (self.filters,))
        kernel = change(kernel) if change else kernel
        if self.pending:
            return conv_pool.Convolution(x, kernel)
        y = conv3x3(x, kernel.astype(x.dtype))
        return y + bias[None, None, None].astype(x.dtype) if self.biased else y


def max_pool(x: Array) -> Array:
    """2x2 max pooling with stride 2 of x [M, H, W, F], an odd last row or column dropped: [M, H // 2, W // 2, F].

    Written with slices because the gradient of XLA's window reduction is many times slower on CPU.
    """
    batch, height, width, features = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2].reshape(batch, height // 2, 2, width // 2, 2, features)
    rows = jnp.maximum(x[:, :, 0], x[:, :, 1])
    return jnp.maximum(rows[:, :, :, 0], rows[:, :, :, 1])


def mean_pool(x: Array) -> Array:
    """Means [M, F] over what lies between the first and the last dimension of x [M, ..., F], pixels or tokens."""
    return jnp.mean(x, axis=tuple(range(1, x.ndim - 1)))


def check_images(x: Array, blocks: int, network: str = "Conv4") -> None:
    """Raises ValueError for arrays that are no images [M, H, W, channels], or too small for so many poolings."""
    if x.ndim != 4:
        raise ValueError(f"{network} reads images [M, H, W, channels], not an array of shape {x.shape}")
    if min(x.shape[1:3]) < 2**blocks:
        size = 2**blocks
        raise ValueError(f"images of {x.shape[1]}x{x.shape[2]} pixels: {blocks} poolings need {size}x{size} or more")
