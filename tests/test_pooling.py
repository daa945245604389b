"""What the examples of the mean-pooled LSTM share, and when."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import waves

from oplstm_jax.learners.lstm import POOLS, lstm, pi_lstm
from oplstm_jax.meta import task_outputs
from oplstm_jax.types import Split


def _outputs(passes, pool):
    learner = pi_lstm(None, (6, 5), passes, pool)
    episode = waves(jax.random.key(0))
    return np.asarray(task_outputs(learner, learner.init(jax.random.key(1), episode), episode))


def test_the_first_pass_is_the_last_of_one():
    np.testing.assert_array_equal(_outputs(1, "hidden"), _outputs(1, "last_pass"))
    assert np.abs(_outputs(1, "hidden") - _outputs(1, "hidden_and_cell")).max() > 1e-4


def test_ways_of_pooling_differ_after_two_passes():
    outputs = [_outputs(2, pool) for pool in POOLS]
    assert min(np.abs(outputs[i] - outputs[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))) > 1e-5


def test_pooled_once_examples_do_not_see_one_another():
    """The state after the last pass is the mean of the states that each example alone would leave."""
    learner = pi_lstm(None, (6,), 3, "last_pass")
    episode = waves(jax.random.key(0))
    params = learner.init(jax.random.key(1), episode)
    alone = [
        learner.adapt(params, jax.tree.map(lambda a, i=i: a[i : i + 1], episode.support))[0]["state"][0].h
        for i in range(len(episode.support.x))
    ]
    fast, _ = learner.adapt(params, episode.support)
    np.testing.assert_allclose(fast["state"][0].h, np.mean(alone, 0), atol=1e-6)


def test_an_unknown_way_of_pooling():
    with pytest.raises(ValueError, match="unknown pool 'cells': expected one of hidden, hidden_and_cell, last_pass"):
        pi_lstm(None, (6,), 1, "cells")


@pytest.mark.parametrize("make_learner", [lstm, pi_lstm])
def test_inputs_of_another_width_are_refused(make_learner):
    episode = waves(jax.random.key(0))
    learner = make_learner(None, (4,), 1)
    params = learner.init(jax.random.key(1), episode)
    fast, _ = learner.adapt(params, episode.support)
    wide = jnp.ones((2, 2))
    with pytest.raises(ValueError, match="x has 2 features: expected 1"):
        learner.predict(params, fast, wide)
    with pytest.raises(ValueError, match="x has 2 features: expected 1"):
        learner.adapt(params, Split(wide, wide[:, :1]))
