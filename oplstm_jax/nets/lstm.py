"""LSTM cells and stacks as pure functions, feature-major: inputs [F, ...], one column per example or coordinate.

Feature-major keeps the gate products one small matrix times one wide one, whatever the number of columns.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.nets.init import uniform
from oplstm_jax.nets.products import rows
from oplstm_jax.types import Array
from oplstm_jax.varying import alike


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
    """Hidden state h [H, ...] and cell state c [H, ...]; None for a c of zeros."""

    h: Array
    c: Array | None


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
    return tuple(zero_cell(cell.w_hh, columns) for cell in params)


def zero_cell(w_hh: Array, columns: tuple[int, ...]) -> CellState:
    """A zero state of the layer with recurrent weights w_hh [4H, H] for inputs [F, *columns]."""
    zeros = alike(jnp.zeros((w_hh.shape[1], *columns), w_hh.dtype), w_hh)
    return CellState(zeros, zeros)


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

    A state of one column, [H, 1], is shared by all columns of x; a cell state of None stands for zeros.

    Where columns outnumber the gates, both products and the bias are one product with [x; h; 1]: what counts there is
    how often the columns are read and how many small operations there are.
    """
    bias = params.b_ih + params.b_hh
    h, c = (None, None) if state is None else state
    columns = math.prod(x.shape[1:])
    if h is not None and h.ndim == 2 and h.shape[1] < columns:
        bias, h = bias + params.w_hh @ h[:, 0], None
        c = None if c is None else jnp.broadcast_to(c, (len(c), *x.shape[1:]))
    if x.ndim > 1 and len(bias) < columns:
        hidden, recurrent = ((), ()) if h is None else ((h,), (params.w_hh,))
        read = jnp.concatenate((x, *hidden, jnp.ones_like(x[:1])))
        gates = rows(jnp.concatenate((params.w_ih, *recurrent, bias[:, None]), 1), read)
    else:
        gates = rows(params.w_ih, x) + bias.reshape(-1, *(1,) * (x.ndim - 1))
        gates = gates if h is None else gates + rows(params.w_hh, h)
    return CellState(*gated_update(gates, c))


@jax.custom_vjp
def gated_update(gates: Array, c: Array | None) -> tuple[Array, Array]:
    """The element-wise part of a cell: gates before their functions [4H, ...] and c [H, ...] give the new (h, c).

    Its derivative is written by hand so that it keeps the values of the gates only. One tanh serves all four:
    sigmoid(x) = tanh(x / 2) / 2 + 1 / 2.
    """
    return gated_forward(gates, c)[0]


def gated_forward(gates: Array, c: Array | None):
    """`gated_update` and what its derivative needs: ((h, c), (tanh of the halved gates, c before, tanh of c))."""
    half = _per_gate(gates, (0.5, 0.5, 1.0, 0.5))
    t = jnp.tanh(half * gates)
    i, f, g, o = _opened(t)
    new_c = i * g if c is None else f * c + i * g
    tanh_c = jnp.tanh(new_c)
    return (o * tanh_c, new_c), (t, c, tanh_c)


def _gated_backward(kept, cotangents):
    t, c, tanh_c = kept
    i, f, g, o = _opened(t)
    d_h, d_c = cotangents
    d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)
    d_f = jnp.zeros_like(d_c) if c is None else d_c * c
    d_t = jnp.concatenate((d_c * g, d_f, d_c * i, d_h * tanh_c))
    d_gates = _per_gate(t, (0.25, 0.25, 1.0, 0.25)) * (1 - t * t) * d_t
    return d_gates, None if c is None else d_c * f


gated_update.defvjp(gated_forward, _gated_backward)


def slopes(t: Array, c: Array, tanh_c: Array) -> tuple[Array, Array, Array]:
    """The derivative of `gated_update` as factors [H], [4H], [H], for many steps at once (for one it is slower so).

    From what `gated_forward` kept: of_c, of_gates, of_new_c with d_new_c = of_c * d_c + the sum of the blocks i, f, g
    of of_gates * d_gates, and d_h = the block o of it + of_new_c * d_new_c.
    """
    i, f, g, o = _opened(t)
    of_gates = _per_gate(t, (0.25, 0.25, 1.0, 0.25)) * (1 - t * t) * jnp.concatenate((g, c, i, tanh_c))
    return f, of_gates, o * (1 - tanh_c * tanh_c)


def _opened(t: Array) -> tuple[Array, Array, Array, Array]:
    """The gates i, f, g, o [H, ...] from the hyperbolic tangents [4H, ...] of what they are functions of."""
    size = len(t) // 4
    i, f, g, o = (jax.lax.slice_in_dim(t, n * size, (n + 1) * size) for n in range(4))
    return 0.5 * i + 0.5, 0.5 * f + 0.5, g, 0.5 * o + 0.5


def _per_gate(gates: Array, values: tuple[float, float, float, float]) -> Array:
    """One value for the rows of each gate: [4H, 1, ...]."""
    return jnp.repeat(jnp.array(values, gates.dtype), len(gates) // 4).reshape(-1, *(1,) * (gates.ndim - 1))
