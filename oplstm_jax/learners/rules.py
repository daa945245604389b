"""Update rules: what turns the signals at each unit into the outputs whose outer products update the weights.

The paper's rule is a coordinate-wise LSTM. Any other rule, also a fixed one, fits the same three functions; with the
output replaced by (target - prediction), for example, OP-LSTM is gradient descent.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from oplstm_jax.nets.lstm import init_stack, stack_step, zero_state
from oplstm_jax.types import Array, Params


class UpdateRule(NamedTuple):
    """init:  (key, number of signals F, units D) -> params of the rule
    start: (params, examples M, units D) -> state before the first pass
    step:  (params, state, signals [F, M, D]) -> (state, outputs [M, D])
    """

    init: Callable[[Array, int, int], Params]
    start: Callable[[Params, int, int], Any]
    step: Callable[[Params, Any, Array], tuple[Any, Array]]


def coordinate_lstm(sizes: tuple[int, ...] = (5, 5, 1)) -> UpdateRule:
    """The same small stacked LSTM at every (example, unit), each with its own state from pass to pass.

    The output is the hidden state of the last cell, in (-1, 1); `sizes` must end in 1.
    """
    if not sizes or sizes[-1] != 1 or min(sizes) < 1:
        raise ValueError(f"lstm sizes {tuple(sizes)}: expected positive widths of which the last is 1, such as (5, 5, 1)")

    def init(key, signals, units):
        return init_stack(key, signals, sizes)

    def start(params, examples, units):
        return zero_state(params, (examples, units))

    def step(params, state, signals):
        state, top = stack_step(params, state, signals)
        return state, top[0]

    return UpdateRule(init, start, step)


def full_lstm(sizes: tuple[int, ...]) -> UpdateRule:
    """One LSTM per example that reads all units' signals, interleaved as [y_1, p_1, y_2, p_2, ...].

    `sizes` must end in the number of units, C.
    """
    if not sizes or min(sizes) < 1:
        raise ValueError(f"lstm sizes {tuple(sizes)}: expected positive widths of which the last is the number of units")

    def init(key, signals, units):
        if sizes[-1] != units:
            raise ValueError(f"lstm sizes {tuple(sizes)}: the last must be the number of outputs, {units}")
        return init_stack(key, signals * units, sizes)

    def start(params, examples, units):
        return zero_state(params, (examples,))

    def step(params, state, signals):
        interleaved = jnp.moveaxis(signals, 0, 2).reshape(signals.shape[1], -1)  # [M, D F]
        state, top = stack_step(params, state, interleaved.T)
        return state, top.T

    return UpdateRule(init, start, step)


def fixed_rule(function: Callable[..., Array]) -> UpdateRule:
    """A rule without parameters or state: outputs [M, D] = function(*signals), each signal [M, D]."""
    return UpdateRule(
        init=lambda key, signals, units: (),
        start=lambda params, examples, units: (),
        step=lambda params, state, signals: (state, function(*signals)),
    )


def normalised_step(updates: tuple[Array, ...], gamma: Array | None) -> tuple[Array, ...]:
    """Scales updates, one array per layer, to joint Frobenius norm gamma; gamma None: as they are.

    The gradient flows through the norm, and there is no epsilon (SPEC §2); at a zero update, where the norm has no
    derivative, the step and its derivatives are zero.
    """
    if gamma is None:
        return updates
    total = sum(jnp.sum(jnp.square(u)) for u in updates)
    is_zero = total == 0
    factor = jnp.where(is_zero, 0.0, gamma / jnp.sqrt(jnp.where(is_zero, 1.0, total)))
    return tuple(factor * u for u in updates)


def outer_product(inputs: Array, outputs: Array) -> Array:
    """Mean over examples of u_i o_i^T: inputs [M, D_in], outputs [M, D_out] -> kernel update [D_in, D_out]."""
    return inputs.T @ outputs / inputs.shape[0]
