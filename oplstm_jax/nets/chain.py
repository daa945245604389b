"""Base-learners taken apart into a chain of layers, each a Flax module of its own.

A residual or transformer block is one layer of the chain: its message goes through all of the block, shortcuts
included, and its kernels get their updates together, each as the block's vector-Jacobian product with respect to it.
"""

import flax.linen as nn
import jax

from oplstm_jax.nets.conv4 import Conv3x3, Conv4, max_pool, mean_pool, output_layer
from oplstm_jax.nets.dense import Dense, flat
from oplstm_jax.nets.init import fan_in_bias
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.norm import Norm
from oplstm_jax.nets.resnet12 import ResidualBlock, ResNet12
from oplstm_jax.nets.transformer import PatchEmbedding, TransformerBlock, VisionTransformer, layer_norm, mean_token
from oplstm_jax.types import Array


class DenseLayer(nn.Module):
    """Linear layer of x [M, ...], flattened per example, then norm and ReLU unless it is the output: [M, width]."""

    width: int
    norm: str = "none"
    is_output: bool = False
    zero_bias: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = flat(x)
        bias = nn.initializers.zeros if self.zero_bias else fan_in_bias(x.shape[-1])
        x = Dense(self.width, bias, name="dense")(x)
        return x if self.is_output else jax.nn.relu(Norm(self.norm, name="norm")(x))


class ConvLayer(nn.Module):
    """A block of Conv-4 on x [M, H, W, F]: [M, H // 2, W // 2, filters]."""

    filters: int
    norm: str = "none"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = Conv3x3(self.filters, name="conv")(x)
        return jax.nn.relu(Norm(self.norm, name="norm")(x, max_pool))


class PooledOutput(nn.Module):
    """Mean over pixels of x [M, H, W, F], then a linear layer: [M, outputs]."""

    outputs: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return output_layer(self.outputs, x.shape[-1])(mean_pool(x))


class TokensOutput(nn.Module):
    """Layer norm of tokens x [M, P, D], their mean in a mode of normalisation, then a linear layer: [M, outputs]."""

    outputs: int
    norm: str = "layer"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return output_layer(self.outputs, x.shape[-1])(mean_token(layer_norm("norm")(x), self.norm))


def chain(base: nn.Module) -> list[nn.Module]:
    """The layers of a network of this library with outputs, from the input up. Raises ValueError for any other."""
    match base:
        case MLP(outputs=int(outputs)):
            hidden = [DenseLayer(width, base.norm, zero_bias=base.zero_hidden_biases) for width in base.hidden]
            return [*hidden, DenseLayer(outputs, is_output=True)]
        case Conv4(outputs=int(outputs)):
            if base.precision != "float32":
                raise ValueError(f"layers of a chain only have float32: precision is {base.precision}")
            convolutions = [ConvLayer(base.filters, base.norm) for _ in range(base.blocks)]
            return [*convolutions, DenseLayer(outputs, is_output=True)]
        case ResNet12(outputs=int(outputs)):
            return [*(ResidualBlock(width, base.norm) for width in base.widths()), PooledOutput(outputs)]
        case VisionTransformer(outputs=int(outputs)):
            blocks = [TransformerBlock(base.heads) for _ in range(base.blocks)]
            return [PatchEmbedding(base.width, base.patch), *blocks, TokensOutput(outputs, base.norm)]
    known = ", ".join(kind.__name__ for kind in (MLP, Conv4, ResNet12, VisionTransformer))
    raise ValueError(f"{type(base).__name__} cannot be taken apart: expected one of {known} with outputs")
