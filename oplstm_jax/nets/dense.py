"""The linear layer of all networks, which a task may change without forming another kernel, and what it reads."""

import math
from collections.abc import Callable

import flax.linen as nn

from oplstm_jax.nets.init import fan_in_kernel
from oplstm_jax.types import Array


def flat(x: Array) -> Array:
    """x [M, ...] as [M, F]; M may be 0."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class Dense(nn.Module):
    """A linear layer, x [M, D_in] -> [M, D_out], whose kernel a task may change by a sum of outer products.

    Parameters: kernel [D_in, D_out] and bias [D_out]. If the collection `factors` holds inputs [R, D_in] and outputs
    [R, D_out] for the layer, the kernel used is kernel + inputs^T outputs, without being formed. A derivative needs no
    kernel either: it is x^T times that with respect to y [M, D_out], which the collection `probes` adds to the result
    if it has one for the layer; where the collection `read` may be changed, x is put into it.
    """

    width: int
    bias_init: Callable[..., Array]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", fan_in_kernel, (x.shape[-1], self.width))
        y = x @ kernel + self.param("bias", self.bias_init, (self.width,))[None]
        if self.has_variable("factors", "inputs"):
            y += x @ self.get_variable("factors", "inputs").T @ self.get_variable("factors", "outputs")
        if self.has_variable("probes", "y"):
            y += self.get_variable("probes", "y")
        if self.is_mutable_collection("read") and not self.is_initializing():
            self.put_variable("read", "x", x)
        return y
