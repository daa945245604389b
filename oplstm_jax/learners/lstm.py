"""Plain LSTMs as learners: the support set is read, the weights stay (paper sections 3 and 4).

`lstm` reads the examples one after another; `pi_lstm` reads them in parallel and shares the mean of their hidden
states, which makes it invariant to their order. A query is one more step, with zeros for its unknown target.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.learners.arguments import check_ways, checks_arguments
from oplstm_jax.learners.features import embed_query, embed_support, init_features
from oplstm_jax.nets.init import fan_in_bias, fan_in_kernel
from oplstm_jax.nets.lstm import CellState, StackState, init_stack, stack_step, zero_state
from oplstm_jax.nets.lstm_sequence import read_sequence
from oplstm_jax.types import Array, Episode, Learner, Split

POOLS = ("hidden", "hidden_and_cell", "last_pass")
# What is read beside an example, and how much of that is of the step before: nothing, its y, (y, p) or (y, p, error).
INPUTS = {"target": 0, "prev_target": 1, "prev_target_pred": 2, "prev_target_pred_error": 3}


@checks_arguments
def lstm(features: nn.Module | None, sizes: tuple[int, ...], passes: int, inputs: str = "target") -> Learner:
    """The sequential plain LSTM.

    features: network whose output the LSTM reads, trained jointly; None reads the flattened inputs.
    sizes: hidden units of the stacked cells. passes: T.
    inputs: what is read beside x_i. `target`: y_i. `prev_target`: y_{i-1}, zeros first, and each pass ends with one
        more step on x_1 and y_M. `prev_target_pred`: also the previous step's prediction. `prev_target_pred_error`:
        also its mean squared error.

    params: lstm, readout {kernel [H, C], bias [C]} and, with a network, features.
    info per pass: outputs [T, steps, C], the read-out after each step.
    """
    _check(sizes, passes)
    if inputs not in INPUTS:
        raise ValueError(f"unknown inputs {inputs!r}: expected one of {', '.join(INPUTS)}")
    count = INPUTS[inputs]

    def extra(units: int) -> int:
        return units * max(1, min(count, 2)) + (count == 3)

    def adapt(params, support: Split, *, key=None):
        x, stats = embed_support(features, params, support.x)
        _check_support(params, x, support.y, extra)
        zeros = jnp.zeros_like(support.y[:1])
        if count:
            x, read = jnp.concatenate((x, x[:1])), jnp.concatenate((zeros, support.y))
        else:
            read = support.y
        if count < 2:  # what is read is known beforehand
            state, tops = read_sequence(params["lstm"], jnp.concatenate((x, read), 1), passes)
            return {"state": state, "stats": stats}, {"outputs": _read_out(params, tops.T).T}
        target = jnp.concatenate((support.y, support.y[:1]))

        def step(carry, example):
            state, told = carry
            x_i, read_i, target_i = example
            told = (read_i, *told)[:count]
            state, top = stack_step(params["lstm"], state, jnp.concatenate((x_i, *told)))
            outputs = _read_out(params, top)
            error = jnp.mean(jnp.square(outputs - target_i), keepdims=True)
            return (state, (outputs, error)), outputs

        def one_pass(state, _):
            told = (zeros[0], jnp.zeros_like(zeros[0, :1]))
            (state, _), outputs = jax.lax.scan(step, (state, told), (x, read, target))
            return state, {"outputs": outputs}

        state, info = jax.lax.scan(one_pass, zero_state(params["lstm"], ()), length=passes)
        return {"state": state, "stats": stats}, info

    def predict(params, fast, x):
        x = embed_query(features, params, fast["stats"], x)
        _check_width(params, x, extra)
        return _query(params, _hidden_only(jax.tree.map(lambda a: a[:, None], fast["state"])), x)

    return Learner(lambda key, episode: _init(key, episode, features, sizes, extra), adapt, predict)


@checks_arguments
def pi_lstm(
    features: nn.Module | None,
    sizes: tuple[int, ...],
    passes: int,
    pool: str = "hidden",
    first_pass_targets: bool = True,
) -> Learner:
    """The mean-pooled, permutation-invariant plain LSTM.

    features, sizes, passes: as for `lstm`.
    pool: what the examples share. `hidden`: hidden states, after every pass. `hidden_and_cell`: cell states alike, and
        queries start from the pooled cell, not from zero. `last_pass`: hidden states, after the last pass alone.
    first_pass_targets: False reads zeros for the targets in the first pass (the reference does so on sine).

    params as for `lstm`. info per pass: outputs [T, M, C], the read-out of each example before pooling.
    """
    _check(sizes, passes)
    if pool not in POOLS:
        raise ValueError(f"unknown pool {pool!r}: expected one of {', '.join(POOLS)}")
    share_cells = pool == "hidden_and_cell"

    def shared(state):
        return tuple(CellState(_mean(cell.h), _mean(cell.c) if share_cells else cell.c) for cell in state)

    def adapt(params, support: Split, *, key=None):
        x, stats = embed_support(features, params, support.x)
        _check_support(params, x, support.y, lambda units: units)

        def one_pass(state, number):
            hidden = (number > 0) | first_pass_targets
            read = jnp.concatenate((x, jnp.where(hidden, support.y, 0)), axis=1)
            state, top = stack_step(params["lstm"], state, read.T)
            return state if pool == "last_pass" else shared(state), {"outputs": _read_out(params, top).T}

        start = zero_state(params["lstm"], (x.shape[0],))
        state, info = jax.lax.scan(one_pass, start, jnp.arange(passes))
        state = shared(state) if pool == "last_pass" else state
        return {"state": jax.tree.map(lambda column: column[:, :1], state), "stats": stats}, info

    def predict(params, fast, x):
        x = embed_query(features, params, fast["stats"], x)
        _check_width(params, x, lambda units: units)
        return _query(params, fast["state"] if share_cells else _hidden_only(fast["state"]), x)

    return Learner(lambda key, episode: _init(key, episode, features, sizes, lambda units: units), adapt, predict)


def _check(sizes: tuple[int, ...], passes: int) -> None:
    if not sizes or min(sizes) < 1:
        raise ValueError(f"lstm sizes {tuple(sizes)}: expected one or more positive widths")
    if passes < 0:
        raise ValueError(f"passes {passes}: expected 0 or more")


def _check_support(params, x: Array, y: Array, extra: Callable[[int], int]) -> None:
    check_ways(y, params["readout"]["bias"].shape[0])
    _check_width(params, x, extra)


def _check_width(params, x: Array, extra: Callable[[int], int]) -> None:
    units = params["readout"]["bias"].shape[0]
    expected = params["lstm"][0].w_ih.shape[1] - extra(units)
    if x.shape[1] != expected:
        raise ValueError(f"x has {x.shape[1]} features: expected {expected}, for which the parameters are")


def _init(key: Array, episode: Episode, features: nn.Module | None, sizes: tuple[int, ...], extra):
    keys = jax.random.split(key, 4)
    x, y = episode.support
    net, width = init_features(features, keys[0], x)
    units = y.shape[1]
    readout = {
        "kernel": fan_in_kernel(keys[2], (sizes[-1], units)),
        "bias": fan_in_bias(sizes[-1])(keys[3], (units,)),
    }
    return {**net, "lstm": init_stack(keys[1], width + extra(units), sizes), "readout": readout}


def _mean(h: Array) -> Array:
    return jnp.broadcast_to(jnp.mean(h, 1, keepdims=True), h.shape)


def _read_out(params, top: Array) -> Array:
    """Outputs [C, ...] of the top hidden state [H, ...]."""
    bias = params["readout"]["bias"].reshape(-1, *(1,) * (top.ndim - 1))
    return jnp.tensordot(params["readout"]["kernel"].T, top, 1) + bias


def _hidden_only(state: StackState) -> StackState:
    """The state with cells of zeros, from which queries start."""
    return tuple(cell._replace(c=None) for cell in state)


def _query(params, state: StackState, x: Array) -> Array:
    """One step of every query [Q, F] with zeros for its target, from a state of one column: outputs [Q, C]."""
    unknown = jnp.zeros((params["lstm"][0].w_ih.shape[1] - x.shape[1], x.shape[0]), x.dtype)
    _, top = stack_step(params["lstm"], state, jnp.concatenate((x.T, unknown)))
    return _read_out(params, top).T
