"""Products with columns, and LSTM cells built on them, are what the plain ones are, in every order of derivatives."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.plain import plain
from oplstm_jax.nets.lstm import CellState, init_stack, stack_step, zero_state
from oplstm_jax.nets.products import rows, weight_gradient

lstm_learner = sys.modules["oplstm_jax.learners.lstm"]  # the package has a function of this name
COLUMNS = ((), (2,), (30,))  # one column; fewer columns than rows of the weights; more


@pytest.mark.parametrize("columns", COLUMNS)
def test_products_over_tasks_are_plain_products(columns, x64):
    keys = jax.random.split(jax.random.key(0))
    weights, x = jax.random.normal(keys[0], (8, 3)), jax.random.normal(keys[1], (4, 3, *columns))

    def results(product):
        def loss(weights, x):
            return jnp.sum(jax.vmap(lambda x: jnp.tanh(product(weights, x)))(x) ** 2)

        curvature = jax.grad(lambda w, x: sum(jnp.sum(g**2) for g in jax.grad(loss, (0, 1))(w, x)), (0, 1))
        return jax.jit(lambda w, x: (loss(w, x), jax.grad(loss, (0, 1))(w, x), curvature(w, x)))(weights, x)

    plain_product = results(lambda w, x: jnp.tensordot(w, x, 1))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), results(rows), plain_product)


def test_weight_gradient_sums_over_columns(x64):
    keys = jax.random.split(jax.random.key(0))
    gradient, x = jax.random.normal(keys[0], (8, 5, 2)), jax.random.normal(keys[1], (3, 5, 2))
    np.testing.assert_allclose(weight_gradient(gradient, x), jnp.einsum("gmd,fmd->gf", gradient, x), rtol=1e-10)


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("started", [False, True])
def test_cells_are_the_plain_ones_over_tasks(columns, started, x64):
    """Two steps from a zero state or from none, for three tasks with the same weights."""
    params = jax.tree.map(jnp.float64, init_stack(jax.random.key(0), 2, (4, 1)))
    xs = jax.random.normal(jax.random.key(1), (3, 2, *columns))

    def gradients():
        def one_task(params, x):
            state, _ = stack_step(params, zero_state(params, columns) if started else None, x)
            state, top = stack_step(params, state, x)
            return jnp.sum(top**2) + sum(jnp.sum(cell.c * cell.h) for cell in state)

        return jax.jit(jax.value_and_grad(lambda p: jnp.sum(jax.vmap(one_task, (None, 0))(p, xs))))(params)

    agree_with_plain(gradients)


@pytest.mark.parametrize("cells", [None, 30, 1])
def test_a_hidden_state_of_one_column_is_shared(cells, x64):
    params = jax.tree.map(jnp.float64, init_stack(jax.random.key(0), 2, (4, 1)))
    hidden = [jax.random.normal(jax.random.key(n), (3, size, 1)) for n, size in enumerate((4, 1))]
    xs = jax.random.normal(jax.random.key(2), (3, 2, 30))

    def gradients():
        def one_task(params, hidden, x):
            c = [None if cells is None else jnp.broadcast_to(h, (len(h), cells)) for h in hidden]
            return jnp.sum(stack_step(params, tuple(map(CellState, hidden, c)), x)[1] ** 2)

        def loss(params, hidden):
            return jnp.sum(jax.vmap(one_task, (None, 0, 0))(params, hidden, xs))

        return jax.jit(jax.value_and_grad(loss, (0, 1)))(params, hidden)

    agree_with_plain(gradients)


@pytest.mark.parametrize("passes", [0, pytest.param(1, marks=pytest.mark.slow), 3])
def test_sequences_are_steps_one_after_another(passes, x64):
    """For three tasks: values, gradients of weights and inputs, and gradients of those."""
    params = jax.tree.map(jnp.float64, init_stack(jax.random.key(0), 2, (4, 3)))
    xs = jax.random.normal(jax.random.key(1), (3, 5, 2))

    def gradients():
        def one_task(params, x):
            state, tops = lstm_learner.read_sequence(params, x, passes)
            return jnp.sum(tops**2) + sum(jnp.sum(cell.c * cell.h) for cell in state)

        def loss(params, xs):
            return jnp.sum(jax.vmap(one_task, (None, 0))(params, xs))

        def curvature(params, xs):
            return sum(jnp.sum(g**2) for g in jax.tree.leaves(jax.grad(loss, (0, 1))(params, xs)))

        both = jax.value_and_grad(loss, (0, 1)), jax.grad(curvature, (0, 1))
        return jax.jit(lambda params, xs: [function(params, xs) for function in both])(params, xs)

    agree_with_plain(gradients)


def agree_with_plain(compute):
    fast = compute()
    with plain():
        slow = compute()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), fast, slow)
