"""What learners take as it comes: data of another precision, numpy arrays, frozen dictionaries, no queries at all."""

from pathlib import Path

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import ROWS, blobs

from oplstm_jax import MLP, Episode, Split, lstm, maml, op_lstm, op_lstm_general, op_lstm_head, zoo
from oplstm_jax.losses import cross_entropy
from oplstm_jax.meta import make_gradient, make_step, task_outputs
from oplstm_jax.nets.chain import chain
from oplstm_jax.nets.conv import kernel_gradient, plain_conv3x3
from oplstm_jax.nets.conv4 import Conv4
from oplstm_jax.trained import load_trained

ROOT = Path(__file__).parents[1]
NAMES = """lstm-sine-none-inputs pi_lstm-classes-layer op_lstm-classes-transductive op_lstm-sine-none
    op_lstm_head-classes-layer-full op_lstm_general-classes-layer-gamma-frozen op_lstm_sequential-sine-none
    maml-classes-transductive-clip protonet-classes-none finetune-same_classes-none-classes""".split()
CHOSEN = [row for row in ROWS if row.name in NAMES]
SOME_SLOW = [pytest.param(row, marks=[pytest.mark.slow] * (at % 2)) for at, row in enumerate(CHOSEN)]
WIDE = op_lstm(MLP((32, 32), 3), 2)  # keeps factors


def _task(row):
    learner, episode = row.make(2), row.sample(jax.random.key(1))
    return learner, learner.init(jax.random.key(0), episode), episode


@pytest.mark.parametrize("row", SOME_SLOW, ids=lambda row: row.name)
def test_data_is_computed_with_in_the_precision_of_the_parameters(row):
    learner, params, episode = _task(row)
    rounded = jax.tree.map(lambda a: a.astype(jnp.bfloat16), episode)
    exact = jax.tree.map(lambda a: a.astype(jnp.float32), rounded)
    wide = jax.tree.map(lambda a: np.asarray(a, np.float64), exact)
    expected = task_outputs(learner, params, exact)
    for given in (rounded, wide, exact._replace(query=rounded.query)):
        found = task_outputs(learner, params, given)
        assert found.dtype == expected.dtype == jnp.float32
        np.testing.assert_array_equal(found, expected)


def test_float64_data_meets_float32_parameters(x64):
    episode = blobs(jax.random.key(1))
    params = WIDE.init(jax.random.key(0), jax.tree.map(lambda a: a.astype(jnp.float32), episode))
    wide = jax.tree.map(lambda a: a.astype(jnp.float64), episode)
    assert task_outputs(WIDE, params, wide).dtype == jnp.float32


def test_entries_of_the_zoo_are_loaded_in_x64_mode(x64):
    learner, params = zoo.load("sine-5shot-op_lstm")
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    x = jnp.linspace(-5, 5, 5)[:, None]
    fast, _ = learner.adapt(params, Split(x, jnp.sin(x)))
    assert np.isfinite(learner.predict(params, fast, x)).all()


@pytest.mark.parametrize("row", CHOSEN, ids=lambda row: row.name)
def test_no_queries_have_no_outputs(row):
    learner, params, episode = _task(row)
    fast, _ = learner.adapt(params, episode.support)
    assert learner.predict(params, fast, episode.query.x[:0]).shape == (0, episode.support.y.shape[1])


@pytest.mark.parametrize("row", CHOSEN, ids=lambda row: row.name)
def test_frozen_dictionaries_are_parameters(row):
    learner, params, episode = _task(row)
    if isinstance(params, dict):
        frozen = task_outputs(learner, flax.core.freeze(params), episode)
        np.testing.assert_array_equal(frozen, task_outputs(learner, params, episode))


SOME = {
    "lstm": lstm(None, (4,), 1),
    "op_lstm": WIDE,
    "op_lstm_head": op_lstm_head(MLP((4,)), 1),
    "op_lstm_general": op_lstm_general(chain(MLP((4,), 3)), 1),
}


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("ways", [1, 2])
def test_another_number_of_ways_is_refused(name, ways):
    """One column would be repeated in silence where arrays are broadcast."""
    learner, episode = SOME[name], blobs(jax.random.key(1))
    params = learner.init(jax.random.key(0), episode)
    fewer = episode.support._replace(y=episode.support.y[:, :ways])
    with pytest.raises(ValueError, match=f"support y has {ways} columns: expected 3, the number of the learner's out"):
        learner.adapt(params, fewer)


def test_parameters_of_another_learner_are_refused_by_name():
    episode = blobs(jax.random.key(1))
    params = SOME["lstm"].init(jax.random.key(0), episode)
    with pytest.raises(ValueError, match="adapt: what it was given does not fit: there is no 'base' in it"):
        WIDE.adapt(params, episode.support)


class Mistaken(nn.Module):
    """Somebody's own network with a mistake in it."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense({"outputs": 3}["output"])(x)


class Narrow(nn.Module):
    """Somebody's own network, which takes vectors alone."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(jnp.matmul(x, jnp.ones((2, 2))))


def test_mistakes_in_a_network_of_ones_own_are_not_said_to_be_of_what_it_was_given():
    with pytest.raises(KeyError, match="^'output'"):
        op_lstm_head(Mistaken(), passes=1).init(jax.random.key(0), blobs(jax.random.key(1)))
    with pytest.raises(ValueError, match="init: what it was given does not fit"):
        op_lstm_head(Narrow(), passes=1).init(jax.random.key(0), blobs(jax.random.key(1)))


@pytest.mark.parametrize("at_once", [0, -2, 2.0])
def test_tasks_at_once_is_a_whole_number(at_once):
    with pytest.raises(ValueError, match=f"tasks_at_once is {at_once}: expected a whole number, 1 or more"):
        make_step(WIDE, cross_entropy, cross_entropy, None, 4, tasks_at_once=at_once)
    with pytest.raises(ValueError, match=f"tasks_at_once is {at_once}: expected a whole number, 1 or more"):
        make_gradient(WIDE, cross_entropy, cross_entropy, tasks_at_once=at_once)


def test_a_meta_batch_may_be_a_number_of_numpy():
    make_step(WIDE, cross_entropy, cross_entropy, None, np.int64(4), np.int32(2))


def test_the_kernel_gradient_of_few_features_has_derivatives_inside_a_scan(x64):
    """Their residuals were mistaken for one another there."""
    x, g = (jax.random.normal(jax.random.key(n), (2, 4, 4, f), jnp.float64) for n, f in ((0, 1), (1, 3)))

    def plain(x, g):
        return jax.vjp(lambda kernel: plain_conv3x3(x, kernel), jnp.zeros((3, 3, 1, 3)))[1](g)[0]

    def scanned(gradient, x):
        def body(x, _):
            return x + jnp.tanh(gradient(x, g)).sum(), None

        return jax.lax.scan(body, x, length=2)[0].sum()

    def second(gradient):
        return jax.grad(lambda x: jnp.sum(jnp.sin(jax.grad(lambda x: scanned(gradient, x))(x))))(x)

    np.testing.assert_allclose(second(kernel_gradient), second(plain), rtol=1e-9)


def test_maml_on_grey_images_has_second_derivatives():
    learner = maml(Conv4(filters=3, outputs=3, norm="none", blocks=2), cross_entropy, 1, 0.1)
    x, y = jax.random.normal(jax.random.key(0), (3, 8, 8, 1)), jnp.eye(3)
    episode = Episode(Split(x, y), Split(x, y))
    params = learner.init(jax.random.key(1), episode)
    inner = jax.grad(lambda p: jnp.sum(jnp.sin(task_outputs(learner, p, episode))))
    outer = jax.grad(lambda p: sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(inner(p))))
    assert jax.tree.map(jnp.shape, jax.eval_shape(outer, params)) == jax.tree.map(jnp.shape, params)


def test_runs_whose_parameters_are_too_large_to_be_kept_say_so():
    with pytest.raises(ValueError, match="op_lstm-1shot-seed0: no params.npz: its parameters were not kept"):
        load_trained(ROOT / "results/omniglot/runs/op_lstm-1shot-seed0", blobs(jax.random.key(0)))


def test_a_network_that_a_learner_cannot_move_is_refused():
    with pytest.raises(ValueError, match="base is Conv4: expected an MLP; of other networks see op_lstm_general"):
        op_lstm(Conv4(4, 3), 1)
    with pytest.raises(ValueError, match="layers is Conv4: expected a list, as nets.chain.chain makes one"):
        op_lstm_general(Conv4(4, 3), 1)
