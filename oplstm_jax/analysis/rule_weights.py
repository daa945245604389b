"""Weights with which a coordinate-wise LSTM computes known update rules: what its widths suffice for.

Signals are (target, prediction). An open gate has a bias at which the sigmoid is 1 in floating point, a shut one 0. A
cell with open input and output gates is tanh(tanh(.)), which is its argument up to the cube of it: with inputs scaled
by a small epsilon the LSTM is linear, and its outputs are epsilon times the rule's up to a factor 1 + O(epsilon^2).
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp

from oplstm_jax.nets.lstm import CellParams, StackParams
from oplstm_jax.types import Array

OPEN, SHUT = 50.0, -50.0
TANH_1 = math.tanh(1.0)


def gradient_weights(epsilon: float) -> StackParams:
    """Widths (1,): epsilon (target - prediction), the descent direction of the squared error.

    With a large epsilon instead it is the sign rule, tanh(1) sign(target - prediction).
    """
    return (_cell([_unit(candidate=(epsilon, -epsilon))], inputs=2),)


def momentum_weights(epsilon: float, decay: float) -> StackParams:
    """Widths (1,): epsilon m_t with m_t = decay m_{t-1} + (target - prediction)_t; the forget gate is the decay."""
    forget = math.log(decay / (1 - decay))
    return (_cell([_unit(candidate=(epsilon, -epsilon), forget_bias=forget)], inputs=2),)


def delta_weights(epsilon: float, slope: float) -> StackParams:
    """Widths (3, 1): epsilon (target - s) s (1 - s) with s = sigmoid(slope prediction), a sigmoid unit's delta rule.

    The first cell passes on target and prediction, and s through an output gate; the second multiplies by its gates.
    """
    sigmoid = _unit(candidate_bias=OPEN, output=(0.0, slope))  # tanh(1) s
    first = _cell([sigmoid, _unit(candidate=(epsilon, 0.0)), _unit(candidate=(0.0, epsilon))], inputs=2)
    back = slope / epsilon
    product = _unit(candidate=(-epsilon / TANH_1, 1.0, 0.0), write=(0.0, 0.0, back), output=(0.0, 0.0, -back))
    return first, _cell([product], inputs=3)


def _unit(
    candidate: Sequence[float] = (),
    candidate_bias: float = 0.0,
    write: Sequence[float] = (),
    output: Sequence[float] = (),
    forget_bias: float = SHUT,
) -> list[tuple[Sequence[float], float]]:
    """(weights, bias) of the gates i, f, g, o of one unit; i and o are open where they read nothing, f is fixed."""
    gates = ((write, 0.0 if write else OPEN), ((), forget_bias), (candidate, candidate_bias))
    return [*gates, (output, 0.0 if output else OPEN)]


def _cell(units: list, inputs: int) -> CellParams:
    """A cell [H units] whose units do not read each other's hidden states."""
    rows = [unit[gate] for gate in range(4) for unit in units]
    w_ih = [list(weights) + [0.0] * (inputs - len(weights)) for weights, _ in rows]
    bias: Array = jnp.array([bias for _, bias in rows])
    return CellParams(jnp.array(w_ih), jnp.zeros((len(rows), len(units))), bias, jnp.zeros_like(bias))
