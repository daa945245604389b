"""Update rules: what turns the signals at each unit into the outputs whose outer products update the weights.

The paper's rule is a coordinate-wise LSTM. Any other rule, also a fixed one, fits the same three functions; with the
output replaced by (target - prediction), for example, OP-LSTM is gradient descent.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.learners.arguments import check_widths
from oplstm_jax.nets import gpu
from oplstm_jax.nets.lstm import init_stack, stack_step, zero_state
from oplstm_jax.types import Array, Params

FEW = 10  # passes


class UpdateRule(NamedTuple):
    """init:  (key, number of signals F, units D) -> params of the rule; D is 0 for the one rule of all hidden layers
    start: (params, examples M, units D, passes T) -> state before the first pass; unless there is exactly one pass, it
           has the structure and shapes that `step` returns
    step:  (params, state, signals [F, M, D]) -> (state, outputs [M, D])
    """

    init: Callable[[Array, int, int], Params]
    start: Callable[[Params, int, int, int], Any]
    step: Callable[[Params, Any, Array], tuple[Any, Array]]


def take_rule(rule: UpdateRule | None) -> UpdateRule:
    """The rule, `coordinate_lstm()` for None, which checks the outputs of each step.

    Raises ValueError for what is no rule, and later for outputs that are not [M, D].
    """
    if rule is None:
        return coordinate_lstm()
    if not isinstance(rule, UpdateRule):
        raise ValueError(f"rule is {rule!r}: expected an UpdateRule such as coordinate_lstm() or fixed_rule(f)")

    def step(params, state, signals):
        state, outputs = rule.step(params, state, signals)
        if jnp.shape(outputs) != (expected := signals.shape[1:]):
            raise ValueError(f"outputs of the rule are {list(jnp.shape(outputs))}: expected [M, D], {list(expected)}")
        return state, outputs

    return rule._replace(step=step)


def coordinate_lstm(sizes: tuple[int, ...] = (5, 5, 1)) -> UpdateRule:
    """The same small stacked LSTM at every (example, unit), each with its own state from pass to pass.

    The output is the hidden state of the last cell, in (-1, 1); `sizes` must end in 1.
    """
    check_widths("sizes", sizes)
    if not sizes or sizes[-1] != 1:
        raise ValueError(f"lstm sizes {tuple(sizes)}: expected positive widths of which the last is 1: (5, 5, 1)")

    def init(key, signals, units):
        return init_stack(key, signals, sizes)

    def start(params, examples, units, passes):
        return zero_state(params, (examples * units,)) if passes != 1 else None

    def step(params, state, signals):
        state, top = stack_step(params, state, signals.reshape(signals.shape[0], -1))
        return state, top[0].reshape(signals.shape[1:])

    return UpdateRule(init, start, step)


def full_lstm(sizes: tuple[int, ...]) -> UpdateRule:
    """One LSTM per example that reads all units' signals, interleaved as [y_1, p_1, y_2, p_2, ...].

    `sizes` must end in the number of units, C.
    """
    check_widths("sizes", sizes)
    if not sizes:
        raise ValueError(f"lstm sizes {tuple(sizes)}: expected positive widths, the number of units last")

    def init(key, signals, units):
        if not units:
            raise ValueError("full_lstm reads the units of one layer: it is no rule of hidden layers")
        if sizes[-1] != units:
            raise ValueError(f"lstm sizes {tuple(sizes)}: the last must be the number of outputs, {units}")
        return init_stack(key, signals * units, sizes)

    def start(params, examples, units, passes):
        return zero_state(params, (examples,)) if passes != 1 else None

    def step(params, state, signals):
        interleaved = jnp.moveaxis(signals, 0, 2).reshape(signals.shape[1], -1)  # [M, D F]
        state, top = stack_step(params, state, interleaved.T)
        return state, top.T

    return UpdateRule(init, start, step)


def fixed_rule(function: Callable[..., Array]) -> UpdateRule:
    """A rule without parameters or state: outputs [M, D] = function(*signals), each signal [M, D]."""
    return UpdateRule(
        init=lambda key, signals, units: (),
        start=lambda params, examples, units, passes: (),
        step=lambda params, state, signals: (state, function(*signals)),
    )


def step_factor(square: Array, gamma: Array | None) -> Array:
    """What brings updates with this sum of squares to joint Frobenius norm gamma; 1 for gamma None.

    The gradient flows through the norm, and there is no epsilon; at a zero update, where the norm has no
    derivative, the factor and its derivatives are zero.
    """
    if gamma is None:
        return jnp.ones((), square.dtype)
    is_zero = square <= 0
    return jnp.where(is_zero, 0.0, gamma / jnp.sqrt(jnp.where(is_zero, 1.0, square)))


def outer_product(inputs: Array, outputs: Array) -> Array:
    """Mean over examples of u_i o_i^T: inputs [M, D_in], outputs [M, D_out] -> kernel update [D_in, D_out]."""
    return inputs.T @ outputs / inputs.shape[0]


def outer_product_square(inputs: Array, outputs: Array) -> Array:
    """The sum of squares of `outer_product`, without forming it where products of examples are smaller.

    It is the sum over pairs of examples (i, j) of (u_i . u_j) (o_i . o_j), divided by M^2. Its terms have both signs:
    where inputs have much in common and outputs sum to zero, digits are lost. In float32 it is right to 5e-7 in the
    zoo's learners of sine waves, to 1e-3 for inputs whose common part is 100 times their differences: centre those.
    """
    examples = inputs.shape[0]
    if examples * (inputs.shape[1] + outputs.shape[1]) < inputs.shape[1] * outputs.shape[1]:
        return jnp.sum((inputs @ inputs.T) * (outputs @ outputs.T)) / examples**2
    return jnp.sum(jnp.square(outer_product(inputs, outputs)))


def run_passes(one_pass: Callable, carry: Any, passes: int, small: bool = False) -> tuple[Any, Any]:
    """`jax.lax.scan` of one_pass(carry, pass number) over the passes; a single pass is simply called.

    A pass is recomputed on the way back (`jax.checkpoint`) rather than kept, except the single one.
    small: passes whose operations a GPU does in the time it takes to begin them. There a FEW of them are kept, and
    follow one another without a loop, which halves the number of operations.
    """
    if passes == 1:
        carry, info = one_pass(carry, 0)
        return carry, jax.tree.map(lambda a: a[None], info)
    if small and passes <= FEW and gpu.wanted("UNROLL"):
        return jax.lax.scan(one_pass, carry, jnp.arange(passes), unroll=True)
    return jax.lax.scan(jax.checkpoint(one_pass), carry, jnp.arange(passes))
