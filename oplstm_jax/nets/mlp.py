"""The fully connected base-learner: 1-91-91-91-1 for sine, 784-256-128-64-64-N for Omniglot, or any other."""

import flax.linen as nn
import jax

from oplstm_jax.nets.dense import Dense, flat
from oplstm_jax.nets.init import fan_in_bias
from oplstm_jax.nets.norm import OF_BATCHES, Norm
from oplstm_jax.types import Array


class MLP(nn.Module):
    """Linear -> norm -> ReLU for each hidden width, then a linear layer with `outputs` units.

    Inputs of any shape [M, ...] are flattened per example. Parameters: `dense_0` .. and `out` with kernel [in, out] and
    bias [out], `norm_0` .. with scale and shift. With `outputs=None` the last hidden activation is the result, which
    makes the network a feature extractor.
    """

    hidden: tuple[int, ...]
    outputs: int | None = None
    norm: str = "none"
    zero_hidden_biases: bool = False

    def __call__(self, x: Array) -> Array:
        return self.trace(x)[0]

    @nn.compact
    def trace(self, x: Array) -> tuple[Array, tuple[Array, ...]]:
        """Returns (outputs [M, C], z of each hidden layer [M, D_l]): what OP-LSTM's hidden LSTMs look at.

        z is the linear output before batch normalisation where there is one, else the activation after the ReLU.
        """
        x = flat(x)
        zs = []
        for layer, width in enumerate(self.hidden):
            linear = self._dense(width, f"dense_{layer}", x.shape[-1], zero_bias=self.zero_hidden_biases)(x)
            x = jax.nn.relu(Norm(self.norm, name=f"norm_{layer}")(linear))
            zs.append(linear if self.norm in OF_BATCHES else x)
        if self.outputs is not None:
            x = self._dense(self.outputs, "out", x.shape[-1])(x)
        return x, tuple(zs)

    def _dense(self, width: int, name: str, fan_in: int, zero_bias: bool = False) -> nn.Module:
        return Dense(width, nn.initializers.zeros if zero_bias else fan_in_bias(fan_in), name=name)
