"""LSTM cells and stacks as pure functions, feature-major: inputs [F, ...], one column per example or coordinate.

Feature-major keeps the gate products one small matrix times one wide one, whatever the number of columns.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.nets.init import uniform
from oplstm_jax.types import Array


class CellParams(NamedTuple):
    """Weights of one LSTM layer; rows are the gates i, f, g, o stacked.

    w_ih [4H, F], w_hh [4H, H], b_ih [4H], b_hh [4H]. The two biases only ever add; both are kept because Adam moves
    their sum twice as fast as it would move one.
    """

    w_ih: Array
    w_hh: Array
    b_ih: Array
    b_hh: Array


class CellState(NamedTuple):
    """Hidden state h [H, ...] and cell state c [H, ...]."""

    h: Array
    c: Array


StackParams = tuple[CellParams, ...]
StackState = tuple[CellState, ...]


def init_stack(key: Array, features: int, sizes: tuple[int, ...]) -> StackParams:
    """Parameters of a stack of cells with the given widths that reads `features` inputs: all U(±1/sqrt(H))."""
    cells = []
    for layer, (fan_in, size) in enumerate(zip((features, *sizes[:-1]), sizes, strict=True)):
        keys = jax.random.split(jax.random.fold_in(key, layer), 4)
        draw = uniform(1 / math.sqrt(size))
        shapes = ((4 * size, fan_in), (4 * size, size), (4 * size,), (4 * size,))
        cells.append(CellParams(*(draw(k, shape) for k, shape in zip(keys, shapes, strict=True))))
    return tuple(cells)


def zero_state(params: StackParams, columns: tuple[int, ...]) -> StackState:
    """A zero state of every layer for inputs [F, *columns]."""
    zeros = [jnp.zeros((cell.w_hh.shape[1], *columns), cell.w_hh.dtype) for cell in params]
    return tuple(CellState(z, z) for z in zeros)


def stack_step(params: StackParams, state: StackState, x: Array) -> tuple[StackState, Array]:
    """One step of the whole stack on x [F, ...]: (new state, hidden state of the top layer [H, ...])."""
    new = []
    for cell, old in zip(params, state, strict=True):
        new.append(cell_step(cell, old, x))
        x = new[-1].h
    return tuple(new), x


def cell_step(params: CellParams, state: CellState, x: Array) -> CellState:
    """One step of one LSTM layer on x [F, ...] (Hochreiter & Schmidhuber 1997 with forget gate; gates i, f, g, o)."""
    bias = (params.b_ih + params.b_hh).reshape(-1, *(1,) * (x.ndim - 1))
    gates = jnp.tensordot(params.w_ih, x, 1) + jnp.tensordot(params.w_hh, state.h, 1) + bias
    return CellState(*gated_update(gates, state.c))


@jax.custom_vjp
def gated_update(gates: Array, c: Array) -> tuple[Array, Array]:
    """The element-wise part of a cell: pre-activations [4H, ...] and c [H, ...] give the new (h, c).

    Its derivative is written by hand so that only the activated gates are kept for the backward pass.
    """
    (h, new_c), _ = _gated_forward(gates, c)
    return h, new_c


def _gated_forward(gates: Array, c: Array):
    gates = gates.reshape(4, *c.shape)
    half = jnp.reshape(jnp.array([0.5, 0.5, 1.0, 0.5], gates.dtype), (4, *(1,) * c.ndim))
    active = half * jnp.tanh(half * gates) + (1 - half)  # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2
    new_c = active[1] * c + active[0] * active[2]
    tanh_c = jnp.tanh(new_c)
    return (active[3] * tanh_c, new_c), (active, tanh_c, c)


def _gated_backward(kept, cotangents):
    (i, f, g, o), tanh_c, c = kept
    d_h, d_c = cotangents
    d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)
    d_gates = (d_c * g * i * (1 - i), d_c * c * f * (1 - f), d_c * i * (1 - g * g), d_h * tanh_c * o * (1 - o))
    return jnp.concatenate(d_gates), d_c * f


gated_update.defvjp(_gated_forward, _gated_backward)
