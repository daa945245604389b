"""A meta-step: blocks of tasks add up, no second compilation comes after the first, and what cannot be is refused."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from learner_table import blobs

from oplstm_jax.learners import make, option_names
from oplstm_jax.learners.protonet import protonet
from oplstm_jax.losses import accuracy, cross_entropy
from oplstm_jax.meta import init_state, make_chunk, make_gradient, make_step, meta_loss
from oplstm_jax.nets.mlp import MLP

LEARNER = protonet(MLP((6, 5), 3, "transductive"))


def _batch():
    """Parameters, four episodes and their keys."""
    data_key, init_key, shape_key, learner_key = jax.random.split(jax.random.key(0), 4)
    episodes = jax.vmap(blobs)(jax.random.split(data_key, 4))
    return LEARNER.init(init_key, blobs(shape_key)), episodes, jax.random.split(learner_key, 4)


@pytest.mark.parametrize("size", [1, 2])
def test_blocks_of_tasks_add_up(size, x64):
    params, episodes, keys = _batch()
    params = jax.tree.map(np.float64, params)
    whole, log = jax.jit(make_gradient(LEARNER, cross_entropy, accuracy))(params, episodes, jax.random.clone(keys))
    parts, parts_log = jax.jit(make_gradient(LEARNER, cross_entropy, accuracy, size))(params, episodes, keys)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), (parts, parts_log), (whole, log))


def test_blocks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="tasks_at_once is 3: expected a divisor of the meta-batch, 4"):
        make_gradient(LEARNER, cross_entropy, accuracy, 3)(*_batch())


def test_chunks_of_all_lengths_share_one_compilation():
    init_key, episode_key, run_key = jax.random.split(jax.random.key(0), 3)
    sample, optimiser = jax.tree_util.Partial(blobs), optax.adam(1e-3)
    state = init_state(LEARNER, optimiser, init_key, blobs(episode_key))
    chunk = make_chunk(make_step(LEARNER, cross_entropy, accuracy, optimiser, 2))
    for steps in (0, 1, 3):
        state, _ = chunk(state, jax.random.clone(run_key), steps, sample)
    assert chunk._cache_size() == 1
    assert int(state.step) == 4


@pytest.mark.parametrize("meta_batch", [0, -1, 1.5, "4"])
def test_a_meta_batch_is_a_number_of_tasks(meta_batch):
    with pytest.raises(ValueError, match=f"meta_batch is {meta_batch!r}: expected a whole number, 1 or more"):
        make_step(LEARNER, cross_entropy, accuracy, optax.adam(1e-3), meta_batch)


def test_loss_and_score_of_a_task_are_numbers():
    def of_each(outputs, y):
        return jnp.abs(outputs - y).sum(-1)

    learner, batch = protonet(MLP((6, 5), 3, "transductive"), loss_scale=False), _batch()
    for given, what in (((of_each, accuracy), "loss"), ((cross_entropy, of_each), "score")):
        with pytest.raises(ValueError, match=rf"the {what} of a task is \[\d+\]: expected a number"):
            jax.eval_shape(meta_loss(learner, *given), *batch)


@pytest.mark.parametrize(
    ("name", "option", "expected"),
    [("op_lstm", "gama", "did you mean 'gamma'?"), ("maml", "cliip", "did you mean 'clip'?"), ("random", "x", "none")],
)
def test_unknown_options_of_learners_get_the_nearest_known_one(name, option, expected):
    with pytest.raises(ValueError, match=f"unknown option '{option}' of {name}: .*{re.escape(expected)}"):
        make(name, MLP((8,), 3), cross_entropy, 1, {option: 1})


def test_options_are_those_that_learners_take():
    assert option_names("op_lstm_head")[:3] == ("sizes", "full", "gamma")
    assert option_names("protonet") == ("loss_scale",)
