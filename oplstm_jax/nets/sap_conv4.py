"""Conv-4 with the transforms of SAP (subspace adaptation prior; Huisman et al. 2022).

A transform of each type is mixed with the identity by softmax-weighted strengths. All start at the identity.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.nets.conv import conv3x3
from oplstm_jax.nets.conv4 import Conv3x3, check_images, max_pool, output_layer
from oplstm_jax.nets.dense import flat
from oplstm_jax.nets.norm import Norm
from oplstm_jax.types import Array

CONVOLUTIONS = ("point", "full", "factored")  # 1x1, 3x3, and 3x3 of rank one per pair of maps
BIASES = ("scalar", "vector")
SCALES = ("pair_scale", "out_scale")  # of a block's kernel: per pair of maps, per output map
TRANSFORMS = (*CONVOLUTIONS, *BIASES, *SCALES, "logits")


class SapConv4(nn.Module):
    """`Conv4` with transforms of the input, of every block's kernel and map (before its max pool), and of the logits.

    Parameters: those of `Conv4`; `map_input` and `map_0` .. (see `MapTransform`), `scale_0` .. (see `KernelTransform`)
    and `logits` (see `LogitTransform`), each with the strengths of its mixtures.
    transforms: the names of those that are there, some of TRANSFORMS.
    """

    filters: int = 64
    outputs: int = 5
    norm: str = "transductive"
    blocks: int = 4
    transforms: tuple[str, ...] = TRANSFORMS

    @nn.compact
    def __call__(self, x: Array) -> Array:
        check_images(x, self.blocks)
        x = MapTransform(self.transforms, name="map_input")(x)
        for block in range(self.blocks):
            change = KernelTransform(self.transforms, x.shape[-1], self.filters, name=f"scale_{block}")
            x = Conv3x3(self.filters, name=f"conv_{block}")(x, change)
            x = jax.nn.relu(Norm(self.norm, name=f"norm_{block}")(x))
            x = max_pool(MapTransform(self.transforms, name=f"map_{block}")(x))
        x = flat(x)
        logits = output_layer(self.outputs, x.shape[-1])(x)
        return LogitTransform(name="logits")(logits) if "logits" in self.transforms else logits


class MapTransform(nn.Module):
    """Maps x [M, H, W, F] -> [M, H, W, F]: a mixture of convolutions, then a mixture of biases.

    Parameters: `point` [F, F] and `full` [3, 3, F, F]; for the factored kernel u[h] s v[w] `u` [3, F, F], `s` [F, F]
    and `v` [3, F, F]; `scalar` [] and `vector` [F]; `conv_strengths` and `bias_strengths` [1 + number there], identity
    first. Kernels lie to the right of and below the pixel they are for: maps are padded by 2 there.
    """

    transforms: tuple[str, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        features = x.shape[-1]
        kernels, strengths = self._kernels(features), self._strengths("conv_strengths", CONVOLUTIONS)
        if kernels:
            identity = jnp.zeros((3, 3, features, features), x.dtype).at[0, 0].set(jnp.eye(features, dtype=x.dtype))
            weighted = [a * kernel for a, kernel in zip(strengths, (identity, *kernels), strict=True)]
            x = _forward_conv(x, sum(weighted[1:], weighted[0]))
        chosen = [name for name in BIASES if name in self.transforms]
        for strength, name in zip(self._strengths("bias_strengths", BIASES)[1:], chosen, strict=True):
            bias = self.param(name, nn.initializers.zeros, (features,) if name == "vector" else ())
            x = x + strength * bias.reshape(1, 1, 1, -1)
        return x

    def _kernels(self, features: int) -> list[Array]:
        """The kernels [3, 3, F, F] that are mixed with the identity."""
        shape, found = (features, features), []
        if "point" in self.transforms:
            point = self.param("point", _eye, shape)
            found.append(jnp.zeros((3, 3, *shape), point.dtype).at[0, 0].set(point))
        if "full" in self.transforms:
            found.append(self.param("full", _corner, (3, 3, *shape)))
        if "factored" in self.transforms:
            u, v = (self.param(name, _corner, (3, *shape)) for name in "uv")
            found.append(u[:, None] * self.param("s", nn.initializers.ones, shape)[None, None] * v[None])
        return found

    def _strengths(self, name: str, kinds: tuple[str, ...]) -> Array:
        return _mixture(self, name, 1 + len(set(kinds) & set(self.transforms)))


class KernelTransform(nn.Module):
    """Kernels [3, 3, F, G] -> [3, 3, F, G]: a mixture with `pair_scale` [F, G] and `out_scale` [G] times the kernel."""

    transforms: tuple[str, ...]
    features: int
    filters: int

    @nn.compact
    def __call__(self, kernel: Array) -> Array:
        shapes = {"pair_scale": (self.features, self.filters), "out_scale": (self.filters,)}
        chosen = [name for name in SCALES if name in self.transforms]
        strengths = _mixture(self, "strengths", 1 + len(chosen))
        total = strengths[0]
        for name, strength in zip(chosen, strengths[1:], strict=True):
            scale = self.param(name, nn.initializers.ones, shapes[name])
            total = total + strength * jnp.broadcast_to(scale, kernel.shape[2:])
        return kernel * (total if total.ndim == 0 else total[None, None])


class LogitTransform(nn.Module):
    """Logits z [M, C] -> (1 - sigmoid(strength)) z + sigmoid(strength) (A z + c), `matrix` A [C, C], `shift` c [C]."""

    @nn.compact
    def __call__(self, z: Array) -> Array:
        matrix = self.param("matrix", _eye, (z.shape[1], z.shape[1]))
        shift = self.param("shift", nn.initializers.zeros, (z.shape[1],))
        strength = jax.nn.sigmoid(self.param("strength", nn.initializers.zeros, (1,)))[None]
        return (1 - strength) * z + strength * (z @ matrix.T + shift[None])


def _mixture(module: nn.Module, name: str, count: int) -> Array:
    """Softmax of `count` strengths that start equal; a parameter only where there is something to mix."""
    if count == 1:
        return jnp.ones((1,))
    return jax.nn.softmax(module.param(name, nn.initializers.zeros, (count,)))


def _forward_conv(x: Array, kernel: Array) -> Array:
    """Convolution with kernel [3, 3, F, G] of x [M, H, W, F] padded by 2 on the right and bottom: [M, H, W, G].

    In float64 the padding is kept apart from the convolution: one that pads unevenly is 25 times slower on a CPU.
    """
    apart = jax.lax.optimization_barrier if x.dtype == jnp.float64 else lambda a: a
    return apart(conv3x3(apart(jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))), kernel))[:, 1:, 1:]


def _eye(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    return jnp.eye(shape[-1], dtype=dtype)


def _corner(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """The identity at the first place of every axis but the last two, zeros elsewhere: [.., F, F]."""
    return jnp.zeros(shape, dtype).at[(0,) * (len(shape) - 2)].set(jnp.eye(shape[-1], dtype=dtype))
