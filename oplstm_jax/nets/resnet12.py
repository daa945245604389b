"""ResNet-12, the residual base-learner of few-shot image classification (Oreshkin et al. 2018; Lee et al. 2019)."""

import functools

import flax.linen as nn
import jax

from oplstm_jax.nets.conv4 import Conv3x3, check_images, max_pool, mean_pool, output_layer
from oplstm_jax.nets.init import fan_in_kernel
from oplstm_jax.nets.norm import Norm
from oplstm_jax.types import Array

WIDENING = (1, 2, 4, 8)  # filters of the four blocks, in multiples of the first's
leaky_relu = functools.partial(jax.nn.leaky_relu, negative_slope=0.1)


class ResNet12(nn.Module):
    """Four residual blocks, the mean over what pixels are left, then a linear layer.

    Inputs are images [M, H, W, channels] with 16 pixels or more per side. filters: of the first block; the others have
    2, 4 and 8 times as many, so 64 makes the widths 64, 128, 256, 512 of the literature. With `outputs=None` the
    8 * filters means over pixels are the result. Parameters: `block_0` .. (see `ResidualBlock`) and `out` with kernel
    [in, out] and bias [out].
    """

    filters: int = 64
    outputs: int | None = None
    norm: str = "transductive"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        check_images(x, len(WIDENING), "ResNet-12")
        for block, width in enumerate(self.widths()):
            x = ResidualBlock(width, self.norm, name=f"block_{block}")(x)
        x = mean_pool(x)
        return x if self.outputs is None else output_layer(self.outputs, x.shape[-1])(x)

    def widths(self) -> tuple[int, ...]:
        """Filters of each block."""
        return tuple(times * self.filters for times in WIDENING)


class ResidualBlock(nn.Module):
    """Three 3x3 convolutions beside a 1x1 convolution, summed; x [M, H, W, F] -> [M, H // 2, W // 2, filters].

    Every convolution is normalised and, but for the last and the shortcut, followed by a LeakyReLU of slope 0.1; the
    sum goes through a LeakyReLU and 2x2 max pooling.

    Parameters: `conv_0` .. `conv_2` with kernel [3, 3, in, out] and bias [out], `shortcut` with kernel [in, out],
    `norm_0` .. `norm_2` and `norm_shortcut` with scale and shift.
    """

    filters: int
    norm: str = "transductive"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shortcut = nn.Dense(self.filters, use_bias=False, kernel_init=fan_in_kernel, name="shortcut")(x)
        shortcut = Norm(self.norm, name="norm_shortcut")(shortcut)
        for layer in range(3):
            x = Conv3x3(self.filters, name=f"conv_{layer}")(x)
            x = Norm(self.norm, name=f"norm_{layer}")(x)
            x = leaky_relu(x) if layer < 2 else x
        return leaky_relu(max_pool(x + shortcut))  # the LeakyReLU commutes with the maximum
