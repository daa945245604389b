"""A meta-step: blocks of tasks add up, no second compilation comes after the first, and what cannot be is refused."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from learner_table import blobs

from oplstm_jax.evaluate import make_evaluate, task_keys
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
    step, traces = make_step(LEARNER, cross_entropy, accuracy, optimiser, 2), []

    def counted(*given):
        traces.append(1)
        return step(*given)

    chunk, found = make_chunk(counted), set()
    for steps in (0, 1, 3):
        state, _ = chunk(state, jax.random.clone(run_key), steps, sample)
        found.add(len(traces))
    assert len(found) == 1
    assert int(state.step) == 4


def test_any_function_is_a_sampler():
    step = make_step(LEARNER, cross_entropy, accuracy, optax.adam(1e-3), 2)
    found = []
    for sample in (jax.tree_util.Partial(blobs), lambda key: blobs(key), functools.partial(blobs)):
        state = init_state(LEARNER, optax.adam(1e-3), jax.random.key(0), blobs(jax.random.key(1)))
        state, log = make_chunk(step)(state, jax.random.key(2), 2, sample)
        scores = make_evaluate(LEARNER, accuracy)(state.params, task_keys("test", 3), sample)
        found.append((float(log.loss), scores.tolist()))
    assert found[0] == found[1] == found[2]
    state = init_state(LEARNER, optax.adam(1e-3), jax.random.key(0), blobs(jax.random.key(1)))
    with pytest.raises(ValueError, match="sample is Episode: expected a function key -> Episode"):
        make_chunk(step)(state, jax.random.key(2), 2, blobs(jax.random.key(1)))
    with pytest.raises(ValueError, match=r"steps is 2\.5: expected a whole number"):
        make_chunk(step)(state, jax.random.key(2), 2.5, blobs)


def test_lists_of_tasks_and_their_keys():
    assert task_keys("test", 2).shape == (2,)
    with pytest.raises(ValueError, match="unknown list of tasks 'train': expected one of validation, test"):
        task_keys("train", 2)
    with pytest.raises(ValueError, match="count is -1: expected a whole number, 1 or more"):
        task_keys("test", -1)
    with pytest.raises(ValueError, match="tasks_at_once is 0: expected a whole number, 1 or more"):
        make_evaluate(LEARNER, accuracy, 0)


def test_a_score_is_a_number_in_a_test_too():
    params = LEARNER.init(jax.random.key(0), blobs(jax.random.key(1)))
    with pytest.raises(ValueError, match=r"the score of a task is \[12\]: expected a number, such as a mean"):
        make_evaluate(LEARNER, lambda outputs, y: outputs[:, 0])(params, task_keys("test", 2), blobs)


def test_training_goes_on_from_given_parameters_and_leaves_them(tmp_path):
    optimiser = optax.adam(1e-3)
    step, episode = make_step(LEARNER, cross_entropy, accuracy, optimiser, 2), blobs(jax.random.key(1))
    params = jax.tree.map(lambda a: a + 1, LEARNER.init(jax.random.key(0), episode))
    before = jax.tree.map(np.array, params)
    state = init_state(LEARNER, optimiser, jax.random.key(5), episode, params)
    jax.tree.map(np.testing.assert_array_equal, state.params, before)
    make_chunk(step)(state, jax.random.key(2), 1, blobs)
    jax.tree.map(np.testing.assert_array_equal, params, before)
    with pytest.raises(ValueError, match="params: missing array 'features/dense_0/bias'"):
        init_state(LEARNER, optimiser, jax.random.key(5), episode, {})


def test_keys_are_for_learners_that_draw_numbers():
    params, episodes, keys = _batch()
    gradient = make_gradient(LEARNER, cross_entropy, accuracy, 2)
    with_keys, without = gradient(params, episodes, keys), gradient(params, episodes, None)
    jax.tree.map(np.testing.assert_array_equal, with_keys, without)


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
