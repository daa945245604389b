"""The one contract suite: what holds for every learner of the table."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from learner_table import ROWS, Row

from oplstm_jax.meta import meta_loss
from oplstm_jax.params import named_arrays

PASSES = 2
TASKS = 4


@pytest.fixture(
    scope="module",  # so that all tests of a row follow one another
    params=[
        pytest.param(row, id=row.name, marks=[pytest.mark.xdist_group(row.name)] + [pytest.mark.slow] * row.slow)
        for row in ROWS
    ],
)
def row(request) -> Row:
    return request.param


# Each is compiled once for a row, however many tests use it.


@functools.lru_cache(maxsize=4)
def _params(row: Row):
    return jax.jit(row.make(PASSES).init)(jax.random.key(2), row.sample(jax.random.key(1)))


@functools.lru_cache(maxsize=8)
def _learn(row: Row, passes: int):
    """A jitted (params, episode, key) -> (outputs on the query set, info of the passes), and the list of its traces."""
    learner, traces = row.make(passes), []

    @jax.jit
    def learn(params, episode, key):
        traces.append(1)
        fast, info = learner.adapt(params, episode.support, key=key)
        return learner.predict(params, fast, episode.query.x), info

    return learn, traces


@functools.lru_cache(maxsize=4)
def _meta_gradient(row: Row):
    """A jitted (params, TASKS episodes, keys) -> ((sum of their losses, log), gradient)."""
    return jax.jit(jax.value_and_grad(meta_loss(row.make(PASSES), row.loss, row.loss), has_aux=True))


def _outputs(row: Row, episode, passes: int = PASSES, key: int = 3):
    return _learn(row, passes)[0](_params(row), episode, jax.random.key(key))[0]


@functools.lru_cache(maxsize=4)
def _task_loss(row: Row):
    """(params, episode, key) -> meta-training loss of one task, not vectorised."""
    learner = row.make(PASSES)
    if learner.objective is not None:
        return jax.jit(lambda params, episode, key: learner.objective(params, episode, key=key)[0])
    learn, _ = _learn(row, PASSES)
    return lambda params, episode, key: row.loss(learn(params, episode, key)[0], episode.query.y)


def _tasks(row: Row):
    return jax.vmap(row.sample)(jax.random.split(jax.random.key(7), TASKS)), jax.random.split(jax.random.key(8), TASKS)


def test_shapes(row):
    episode = row.sample(jax.random.key(1))
    outputs, info = _learn(row, PASSES)[0](_params(row), episode, jax.random.key(3))
    assert bool(jax.tree.leaves(info)) == row.has_passes
    assert all(leaf.shape[0] == PASSES for leaf in jax.tree.leaves(info))
    assert outputs.shape == episode.query.y.shape
    assert outputs.dtype == jnp.float32
    assert np.isfinite(outputs).all()


def test_jit_compiles_once(row):
    results = [_outputs(row, row.sample(jax.random.key(seed)), key=-seed) for seed in (4, 5, 6)]
    assert len(_learn(row, PASSES)[1]) == 1
    assert not np.allclose(results[0], results[1])


def test_vmap_over_tasks_is_a_python_loop(row):
    episodes, keys = _tasks(row)
    (batched, _), _ = _meta_gradient(row)(_params(row), episodes, keys)
    tasks = [jax.tree.map(lambda a, i=i: a[i], episodes) for i in range(TASKS)]
    single = [_task_loss(row)(_params(row), task, key) for task, key in zip(tasks, keys, strict=True)]
    np.testing.assert_allclose(batched, sum(single), rtol=2e-5)


def test_every_meta_parameter_gets_a_gradient(row):
    _, grads = _meta_gradient(row)(_params(row), *_tasks(row))
    assert bool(named_arrays(grads)) == row.has_params
    for name, grad in named_arrays(grads).items():
        assert np.isfinite(grad).all(), name
        if name not in row.without_gradient:
            assert np.abs(grad).max() > 1e-10, f"no gradient for {name}"
        else:
            assert np.abs(grad).max() < 1e-4, f"{name} has a gradient after all"


def test_zero_passes_is_the_initial_prediction(row):
    episode = row.sample(jax.random.key(1))
    mine = _outputs(row, episode, passes=0)
    if not row.has_passes:  # then their number makes no difference
        np.testing.assert_array_equal(mine, _outputs(row, episode))
        return
    swapped = _outputs(row, episode._replace(support=row.sample(jax.random.key(9)).support), passes=0)
    if "support" not in row.name:  # that mode normalises queries with the support set's statistics
        np.testing.assert_array_equal(mine, swapped)
    assert not np.allclose(mine, _outputs(row, episode))


def test_order_of_the_support_set(row):
    episode = row.sample(jax.random.key(1))
    order = np.random.default_rng(0).permutation(len(episode.support.x))
    shuffled = episode._replace(support=jax.tree.map(lambda a: a[order], episode.support))
    mine, other = _outputs(row, episode), _outputs(row, shuffled)
    if row.invariant:
        np.testing.assert_allclose(mine, other, atol=2e-5, rtol=2e-4)
    else:
        assert np.abs(mine - other).max() > 1e-4


def test_loss_falls(row):
    """150 meta-steps on four fixed tasks bring their loss down by 15 % or more.

    What has nothing to meta-learn goes through them unchanged.
    """
    (episodes, keys), optimiser = _tasks(row), optax.adam(row.learning_rate)
    params, opt_state = _params(row), optimiser.init(_params(row))

    def loss_and_gradient(params):
        (loss, _), grads = _meta_gradient(row)(params, episodes, jax.random.clone(keys))
        return loss, grads

    @jax.jit
    def move(params, opt_state, grads):
        updates, opt_state = optimiser.update(grads, opt_state)
        return optax.apply_updates(params, updates), opt_state

    before, grads = loss_and_gradient(params)
    for _ in range(150):
        params, opt_state = move(params, opt_state, grads)
        after, grads = loss_and_gradient(params)
    assert after < 0.85 * before if row.has_params else after == before
