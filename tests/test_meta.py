"""A meta-step: blocks of tasks add up, and no second compilation comes after the first."""

import jax
import numpy as np
import optax
import pytest
from learner_table import blobs

from oplstm_jax.learners.protonet import protonet
from oplstm_jax.losses import accuracy, cross_entropy
from oplstm_jax.meta import init_state, make_chunk, make_gradient, make_step
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
