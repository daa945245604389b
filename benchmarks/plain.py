"""The straightforward version of the library, kept as what the fast one is compared with.

Autodiff through LSTM cells and convolutions, max pooling as a window reduction, updates added to the kernels of every
task, all tasks vectorised together, every pass kept for the way back, and nothing that is for GPUs only.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.learners import fast_weights, rules
from oplstm_jax.nets import conv4, conv_pool, gpu, lstm
from oplstm_jax.nets.conv import plain_conv3x3
from oplstm_jax.types import Array


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """While it is open, learners that are traced are the straightforward ones."""
    with contextlib.ExitStack() as stack:
        for module, name, value in (
            (lstm, "cell_step", _cell_step),
            (sys.modules["oplstm_jax.learners.lstm"], "read_sequence", _read_sequence),
            (conv4, "conv3x3", plain_conv3x3),
            (conv4, "max_pool", functools.partial(nn.max_pool, window_shape=(2, 2), strides=(2, 2))),
            (conv_pool, "available", lambda: False),
            (gpu, "wanted", lambda what: False),
            (fast_weights, "prefer_factors", lambda kernels, rows: False),
            *((sys.modules[f"oplstm_jax.learners.{name}"], "run_passes", _run_passes) for name in ("op_pass", "op_lstm_head")),
        ):
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def _run_passes(one_pass: Callable, carry: Any, passes: int, small: bool = False) -> tuple[Any, Any]:
    if passes == 1:  # the state before it may lack the structure of the state after it
        return rules.run_passes(one_pass, carry, passes)
    return jax.lax.scan(one_pass, carry, jnp.arange(passes))


def _cell_step(params: lstm.CellParams, state: lstm.CellState | None, x: Array) -> lstm.CellState:
    bias = (params.b_ih + params.b_hh).reshape(-1, *(1,) * (x.ndim - 1))
    zeros = lstm.zero_state((params,), x.shape[1:])[0].h
    h, c = (zeros if old is None else jnp.broadcast_to(old, zeros.shape) for old in state or (None, None))
    gates = jnp.tensordot(params.w_ih, x, 1) + jnp.tensordot(params.w_hh, h, 1) + bias
    i, f, g, o = jnp.split(gates, 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return lstm.CellState(jax.nn.sigmoid(o) * jnp.tanh(c), c)


def _read_sequence(params: lstm.StackParams, x: Array, passes: int) -> tuple[lstm.StackState, Array]:
    def one_pass(state, _):
        return jax.lax.scan(lambda state, x_i: lstm.stack_step(params, state, x_i), state, x)

    return jax.lax.scan(one_pass, lstm.zero_state(params, ()), length=passes)
