"""Tangent kernels against what is known of them: linear networks, gradient steps, learners of every kind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oplstm_jax import MLP
from oplstm_jax.analysis.fast_network import fast_network
from oplstm_jax.analysis.tangent import alignment, make_tangent, tangent_kernel
from oplstm_jax.data.sine import sample_episode
from oplstm_jax.learners import make
from oplstm_jax.losses import mean_squared_error
from oplstm_jax.types import Episode, Split

BASE = MLP((6, 5), outputs=1)


@pytest.fixture
def episode():
    return sample_episode(jax.random.key(0), shot=4, query=7)


def test_of_a_linear_network_it_is_the_gram_matrix_of_the_inputs():
    x, y = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    weights = {"kernel": jnp.ones((3, 2)), "bias": jnp.zeros(2)}
    kernel = tangent_kernel(lambda w: x @ w["kernel"] + w["bias"][None], weights)
    np.testing.assert_allclose(kernel, np.kron(x @ x.T + 1, np.eye(2)), rtol=1e-5)
    assert 0 <= alignment(kernel, jnp.asarray(y[:, :2])) <= 1
    t = jnp.asarray(y[:, :1] - y[:, :1].mean())
    np.testing.assert_allclose(alignment(t @ t.T, t), 1, rtol=1e-5)


def test_a_small_gradient_step_moves_the_outputs_by_the_kernel_times_the_errors(episode):
    learner, step = make("maml", BASE, mean_squared_error, 0, {"inner_lr": 0.1}), 1e-4
    params = learner.init(jax.random.key(1), episode)
    network = fast_network(learner, params, learner.adapt(params, episode.support)[0])
    x, y = episode.query
    outputs = network.outputs(network.weights, x)
    gradient = jax.grad(lambda w: mean_squared_error(network.outputs(w, x), y))(network.weights)
    after = network.outputs(jax.tree.map(lambda w, g: w - step * g, network.weights, gradient), x)
    kernel = tangent_kernel(lambda w: network.outputs(w, x), network.weights)
    expected = -step * 2 / 7 * kernel @ (outputs - y)
    np.testing.assert_allclose(after - outputs, expected, rtol=0.05, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [("op_lstm", {"sizes": (3, 1)}), ("op_lstm_head", {"sizes": (3, 1)}), ("maml", {"inner_lr": 0.1})],
)
def test_learning_changes_the_kernel_and_no_learning_does_not(episode, name, options):
    learners = [make(name, BASE, mean_squared_error, passes, options) for passes in (0, 2)]
    params = learners[0].init(jax.random.key(1), episode)
    still = make_tangent(learners[0], learners[0])(params, episode)
    np.testing.assert_allclose((still.kept, still.growth, still.after), (1, 1, still.before), rtol=1e-5)
    moved = make_tangent(learners[1], learners[0])(params, episode)
    np.testing.assert_allclose(moved.before, still.before, rtol=1e-5)
    if name == "op_lstm_head":  # of a linear layer the kernel is that of the features
        np.testing.assert_allclose(moved.kept, 1, rtol=1e-5)
    else:
        assert moved.kept < 1 - 1e-7 and moved.growth != 1


def test_factors_are_part_of_the_network(episode):
    """With one-example supports OP-LSTM keeps factors beside its kernels: outputs are those of `predict`."""
    learner = make("op_lstm", MLP((30, 30), outputs=1), mean_squared_error, 2, {"sizes": (3, 1)})
    support = Split(episode.support.x[:1], episode.support.y[:1])
    params = learner.init(jax.random.key(1), Episode(support, episode.query))
    fast, _ = learner.adapt(params, support)
    assert fast["net"].factors
    network = fast_network(learner, params, fast)
    found = network.outputs(network.weights, episode.query.x)
    np.testing.assert_allclose(found, learner.predict(params, fast, episode.query.x), rtol=1e-4, atol=1e-5)


def test_learners_without_fast_weights_are_refused(episode):
    learner = make("pi_lstm", None, mean_squared_error, 1, {"sizes": (4,)})
    params = learner.init(jax.random.key(1), episode)
    with pytest.raises(ValueError, match="no network with fast weights: it keeps state, stats"):
        fast_network(learner, params, learner.adapt(params, episode.support)[0])
