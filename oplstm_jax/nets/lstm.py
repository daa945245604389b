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


def stack_step(params: StackParams, state: StackState | None, x: Array) -> tuple[StackState, Array]:
    """One step of the whole stack on x [F, ...]: (new state, hidden state of the top layer [H, ...]).

    A state of None stands for zeros, and saves the work that zeros would be.
    """
    new = []
    for cell, old in zip(params, state or (None,) * len(params), strict=True):
        new.append(cell_step(cell, old, x))
        x = new[-1].h
    return tuple(new), x


def cell_step(params: CellParams, state: CellState | None, x: Array) -> CellState:
    """One step of one LSTM layer on x [F, ...] (Hochreiter & Schmidhuber 1997 with forget gate; gates i, f, g, o).

    With columns, its derivative is written by hand: only the activated gates are kept for the backward pass, and every
    product keeps features first, where the transposes autodiff adds cost more than the products. Without, autodiff is
    faster, because under `vmap` it sums weight gradients over tasks as it forms them.
    """
    return _cell_forward(params, state, x)[0] if x.ndim == 1 else _columns_step(params, state, x)


@jax.custom_vjp
def _columns_step(params: CellParams, state: CellState | None, x: Array) -> CellState:
    return _cell_forward(params, state, x)[0]


def _cell_forward(params: CellParams, state: CellState | None, x: Array):
    bias = params.b_ih + params.b_hh
    gates = _rows(params.w_ih, x) + bias.reshape(-1, *(1,) * (x.ndim - 1))
    if state is not None:
        gates += _rows(params.w_hh, state.h)
    size = params.w_hh.shape[1]
    i, f, g, o = (jax.lax.slice_in_dim(gates, n * size, (n + 1) * size) for n in range(4))
    i, f, g, o = _sigmoid(i), _sigmoid(f), jnp.tanh(g), _sigmoid(o)
    c = i * g if state is None else f * state.c + i * g
    tanh_c = jnp.tanh(c)
    return CellState(o * tanh_c, c), (params, state, x, (i, f, g, o), tanh_c)


def _cell_backward(kept, cotangents: CellState):
    params, state, x, (i, f, g, o), tanh_c = kept
    d_c = cotangents.c + cotangents.h * o * (1 - tanh_c * tanh_c)
    d_f = jnp.zeros_like(d_c) if state is None else d_c * state.c * f * (1 - f)
    d_gates = jnp.concatenate((d_c * g * i * (1 - i), d_f, d_c * i * (1 - g * g), cotangents.h * tanh_c * o * (1 - o)))
    d_bias = jnp.sum(d_gates, tuple(range(1, x.ndim)))
    d_hh = jnp.zeros_like(params.w_hh) if state is None else _weight_gradient(d_gates, state.h)
    d_state = None if state is None else CellState(_rows(params.w_hh.T, d_gates), d_c * f)
    return CellParams(_weight_gradient(d_gates, x), d_hh, d_bias, d_bias), d_state, _rows(params.w_ih.T, d_gates)


_columns_step.defvjp(_cell_forward, _cell_backward)


def _sigmoid(x: Array) -> Array:
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


def _rows(weights: Array, x: Array) -> Array:
    """weights [G, F] times x [F, ...]: [G, ...]."""
    return jax.lax.dot_general(weights, x, (((1,), (0,)), ((), ())))


def _weight_gradient(gradient: Array, x: Array) -> Array:
    """Sum over columns of gradient [G, ...] times x [F, ...]: [G, F]."""
    columns = tuple(range(1, x.ndim))
    return jax.lax.dot_general(gradient, x, ((columns, columns), ((), ())))
