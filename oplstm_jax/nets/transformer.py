"""A small vision transformer (Dosovitskiy et al. 2021) with pre-normalised blocks (Xiong et al. 2020)."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.nets.conv4 import check_images, mean_pool, output_layer
from oplstm_jax.nets.init import fan_in_bias, fan_in_kernel
from oplstm_jax.nets.norm import Norm
from oplstm_jax.types import Array

POSITIONS = nn.initializers.normal(0.02)  # start of the position embeddings
EPSILON = 1e-5


class VisionTransformer(nn.Module):
    """Patches with position embeddings, transformer blocks, layer norm and mean over tokens, then a linear layer.

    Inputs are images [M, H, W, channels] whose sides are multiples of `patch`. width: of a token; heads, a divisor of
    it, of the attention. norm: `layer` for layer norm of each token and no other, so that examples do not depend on one
    another; `transductive` or `support` to normalise the mean tokens over examples as well. With `outputs=None` these
    [M, width] are the result. Parameters: `patches` (`PatchEmbedding`), `block_0` .. (`TransformerBlock`), `norm` with
    scale and bias, `norm_means` with scale and shift where there is one, and `out` with kernel [width, out] and bias.
    """

    width: int = 64
    blocks: int = 2
    heads: int = 4
    patch: int = 7
    outputs: int | None = None
    norm: str = "layer"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = PatchEmbedding(self.width, self.patch, name="patches")(x)
        for block in range(self.blocks):
            x = TransformerBlock(self.heads, name=f"block_{block}")(x)
        x = mean_token(layer_norm("norm")(x), self.norm)
        return x if self.outputs is None else output_layer(self.outputs, x.shape[-1])(x)


class PatchEmbedding(nn.Module):
    """Images x [M, H, W, channels] -> tokens [M, P, width], one of each patch, with its position's embedding added.

    Parameters: kernel [patch * patch * channels, width], bias [width], positions [P, width].
    """

    width: int
    patch: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = patches(x, self.patch)
        kernel = self.param("kernel", fan_in_kernel, (x.shape[-1], self.width))
        bias = self.param("bias", fan_in_bias(x.shape[-1]), (self.width,))
        positions = self.param("positions", POSITIONS, (x.shape[1], self.width))
        return x @ kernel + (bias[None] + positions)[None]


class TransformerBlock(nn.Module):
    """Self-attention and a GELU layer of twice the width, each added to its input; tokens x [M, P, D] -> [M, P, D].

    Parameters: `query_key_value` and `attended` (no biases), `expand` and `contract` with kernel and bias; `norm_0` and
    `norm_1` with scale and bias.
    """

    heads: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        if width % self.heads:
            raise ValueError(f"tokens of width {width} and {self.heads} heads: expected heads that divide the width")
        mixed = attention(_linear(3 * width, "query_key_value", bias=False)(layer_norm("norm_0")(x)), self.heads)
        x = x + _linear(width, "attended", bias=False)(mixed)
        inside = jax.nn.gelu(_linear(2 * width, "expand")(layer_norm("norm_1")(x)))
        return x + _linear(width, "contract")(inside)


def attention(queries_keys_values: Array, heads: int) -> Array:
    """Scaled dot-product attention of each head, from [M, P, 3 D], queries before keys before values: [M, P, D]."""
    examples, tokens, width = queries_keys_values.shape
    split = queries_keys_values.reshape(examples, tokens, 3, heads, width // 3 // heads)
    queries, keys, values = (split[:, :, part] for part in range(3))
    scores = jnp.einsum("mqhd,mkhd->mhqk", queries, keys) / math.sqrt(queries.shape[-1])
    return jnp.einsum("mhqk,mkhd->mqhd", jax.nn.softmax(scores), values).reshape(examples, tokens, width // 3)


def patches(x: Array, size: int) -> Array:
    """Images x [M, H, W, channels] cut into P = H W / size^2 squares, row by row: [M, P, size * size * channels].

    Raises ValueError for arrays that are no images, or whose sides are no multiples of the size.
    """
    check_images(x, 0, "a vision transformer")
    examples, height, width, channels = x.shape
    if height % size or width % size:
        raise ValueError(f"images of {height}x{width} pixels: expected multiples of the patch, {size} pixels")
    x = x.reshape(examples, height // size, size, width // size, size, channels)
    squares = (height // size) * (width // size)
    return jnp.moveaxis(x, 2, 3).reshape(examples, squares, size * size * channels)


def mean_token(x: Array, norm: str) -> Array:
    """Mean over tokens x [M, P, D] -> [M, D], normalised over examples where the mode is; called inside a module."""
    x = mean_pool(x)
    return x if norm == "layer" else Norm(norm, name="norm_means")(x)


def layer_norm(name: str) -> nn.LayerNorm:
    """Normalises each token [.., D] over its D numbers, then scales and shifts."""
    return nn.LayerNorm(epsilon=EPSILON, name=name)


def _linear(width: int, name: str, bias: bool = True) -> nn.Dense:
    return nn.Dense(width, use_bias=bias, kernel_init=fan_in_kernel, name=name)
