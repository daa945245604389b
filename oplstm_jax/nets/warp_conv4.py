"""Conv-4 with warp layers between its blocks, the network of Warp-MAML (Flennerhag et al. 2020)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.nets.conv4 import Conv3x3, check_images, max_pool, output_layer
from oplstm_jax.nets.dense import flat
from oplstm_jax.nets.norm import Norm
from oplstm_jax.types import Array

WARP_STARTS = ("identity", "zeros", "default")


class WarpConv4(nn.Module):
    """`Conv4` in which the map that leaves block 1, 2 or 3 (counted from 0) is replaced by a 3x3 convolution of it.

    Parameters: those of `Conv4`, and `warp_1` .. with kernel [3, 3, filters, filters] and bias [filters]. They start
    as `warp_start` says: `identity` passes maps on, `zeros` (a dead network), or `default` like other convolutions.
    """

    filters: int = 64
    outputs: int | None = None
    norm: str = "transductive"
    blocks: int = 4
    warp_start: str = "identity"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        check_images(x, self.blocks)
        for block in range(self.blocks):
            x = Conv3x3(self.filters, name=f"conv_{block}")(x)
            x = jax.nn.relu(Norm(self.norm, name=f"norm_{block}")(x, max_pool))
            if block:
                x = self._warp(block)(x)
        x = flat(x)
        return x if self.outputs is None else output_layer(self.outputs, x.shape[-1])(x)

    def _warp(self, block: int) -> nn.Module:
        name = f"warp_{block}"
        if self.warp_start == "default":
            return Conv3x3(self.filters, name=name)
        kernel = identity_kernel if self.warp_start == "identity" else nn.initializers.zeros
        return Conv3x3(self.filters, kernel, nn.initializers.zeros, name=name)


def identity_kernel(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """A kernel [3, 3, F, F] that leaves maps as they are under `conv3x3`."""
    return jnp.zeros(shape, dtype).at[1, 1].set(jnp.eye(shape[2], dtype=dtype))
