"""An LSTM stack over a sequence that is known beforehand, one layer after another instead of one step after another.

Of a step only the product with the layer's own hidden state has to wait for the step before it. Products with inputs
are made for all steps at once, and so are, by the derivative written here by hand, the gradients of all weights, which
autodiff would carry and add to from step to step.
"""

import jax
import jax.numpy as jnp

from oplstm_jax.nets.lstm import CellState, StackParams, StackState, gated_forward, slopes, zero_cell
from oplstm_jax.types import Array


def read_sequence(params: StackParams, x: Array, passes: int) -> tuple[StackState, Array]:
    """Reads the examples x [M, F] in order, T = `passes` times over, from a zero state.

    Returns the state after the last step and the hidden states of the top layer, [T, M, H]. The same numbers as
    `stack_step` on each example, up to the order of summation.
    """
    state, below = [], x
    for layer, cell in enumerate(params):
        driven = below @ cell.w_ih.T + (cell.b_ih + cell.b_hh)[None]
        if layer == 0:  # every pass reads the same
            driven = jnp.broadcast_to(driven, (passes, *driven.shape)).reshape(-1, driven.shape[1])
        last, below = recurrent_steps(cell.w_hh, driven)
        state.append(last)
    return tuple(state), below.reshape(passes, len(x), below.shape[1])


@jax.custom_jvp
def recurrent_steps(w_hh: Array, driven: Array) -> tuple[CellState, Array]:
    """Steps of one layer with recurrent weights w_hh [4H, H] from a zero state.

    driven [S, 4H]: what bias and inputs give to the gates (i, f, g, o) of each step. Returns the last state and all
    hidden states [S, H].
    """
    return _steps(w_hh, driven)[:2]


def _steps(w_hh: Array, driven: Array):
    def step(state, driven):
        new, kept = gated_forward(driven + state.h @ w_hh.T, state.c)
        return CellState(*new), (new[0], kept)

    last, (h, kept) = jax.lax.scan(step, zero_cell(w_hh, ()), driven)
    return last, h, kept


@recurrent_steps.defjvp
def _derivative(primals, tangents):
    """What is not linear, and what the weights give, for all steps at once; the rest is a scan that JAX transposes."""
    (w_hh, driven), (d_w_hh, d_driven) = primals, tangents
    last, h, kept = _steps(w_hh, driven)
    before = jnp.concatenate((zero_cell(w_hh, ()).h[None], h))[:-1]

    def step(d, inputs):
        d_driven, of_c, of_gates, of_new_c = inputs
        i, f, g, o = jnp.split(of_gates * (d_driven + d.h @ w_hh.T), 4)
        d_c = of_c * d.c + (i + f + g)
        new = CellState(o + of_new_c * d_c, d_c)
        return new, new.h

    inputs = (d_driven + before @ d_w_hh.T, *jax.vmap(slopes)(*kept))
    return (last, h), jax.lax.scan(step, zero_cell(w_hh, ()), inputs)
