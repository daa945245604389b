"""Base-learners taken apart into a chain of layers, each a Flax module of its own."""

import flax.linen as nn
import jax

from oplstm_jax.nets.conv4 import Conv3x3, Conv4, max_pool
from oplstm_jax.nets.dense import Dense
from oplstm_jax.nets.init import fan_in_bias
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.norm import Norm
from oplstm_jax.types import Array


class DenseLayer(nn.Module):
    """Linear layer of x [M, ...], flattened per example, then norm and ReLU unless it is the output: [M, width]."""

    width: int
    norm: str = "none"
    is_output: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x.reshape(x.shape[0], -1)
        x = Dense(self.width, fan_in_bias(x.shape[-1]), name="dense")(x)
        return x if self.is_output else jax.nn.relu(Norm(self.norm, name="norm")(x))


class ConvLayer(nn.Module):
    """A block of Conv-4 on x [M, H, W, F]: [M, H // 2, W // 2, filters]."""

    filters: int
    norm: str = "none"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = Conv3x3(self.filters, name="conv")(x)
        return jax.nn.relu(Norm(self.norm, name="norm")(x, max_pool))


def chain(base: nn.Module) -> list[nn.Module]:
    """The layers of an `MLP` or a `Conv4` with outputs, from the input up. Raises ValueError for any other network."""
    layers: list[nn.Module]
    if isinstance(base, MLP) and base.outputs is not None:
        layers = [DenseLayer(width, base.norm) for width in base.hidden]
    elif isinstance(base, Conv4) and base.outputs is not None:
        layers = [ConvLayer(base.filters, base.norm) for _ in range(base.blocks)]
    else:
        raise ValueError(f"{type(base).__name__} cannot be taken apart: expected an MLP or Conv4 with outputs")
    return [*layers, DenseLayer(base.outputs, is_output=True)]
