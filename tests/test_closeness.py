"""Closeness is 1 where OP-LSTM is gradient descent on every layer, and a prototype classifier resembles itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import blobs

from oplstm_jax import MLP
from oplstm_jax.analysis.closeness import change, make_closeness, make_network_similarity, make_resemblance
from oplstm_jax.analysis.fast_network import fast_network, kernels
from oplstm_jax.analysis.passes import make_scores_by_pass
from oplstm_jax.analysis.updates import prototype_kernel
from oplstm_jax.data.sine import sample_episode
from oplstm_jax.learners.maml import maml
from oplstm_jax.learners.op_lstm import op_lstm
from oplstm_jax.learners.rules import fixed_rule
from oplstm_jax.losses import cross_entropy, mean_squared_error
from oplstm_jax.meta import task_outputs

ERROR = fixed_rule(lambda target, prediction: target - prediction)
BACK = fixed_rule(lambda z, message: message * (z > 0))  # the chain rule through a ReLU, message = W (target - p)
CLASS_ERROR = fixed_rule(lambda target, prediction: target - jax.nn.softmax(prediction, -1))


@pytest.fixture
def wave():
    return sample_episode(jax.random.key(0), shot=4, query=6)


def _pair(base, passes, output_rule=ERROR, **options):
    return [op_lstm(base, count, output_rule, BACK, gamma=None, **options) for count in (passes, 0)]


def test_the_chain_rule_as_rules_is_gradient_descent_on_every_layer(wave):
    """Rules that emit errors and pass them back take steps of 0.5 down the gradient of the mean squared error."""
    learner, unlearned = _pair(MLP((6, 5), outputs=1), 3)
    params = learner.init(jax.random.key(1), wave)
    found = make_closeness(learner, unlearned, mean_squared_error, 0.5)(params, wave)
    assert found.pass_cosine.shape == found.pass_ratio.shape == found.layer_cosine.shape == (3,)
    for values in found:
        np.testing.assert_allclose(values, 1, rtol=1e-4)


def test_a_normed_update_keeps_its_direction_only(wave):
    learner, unlearned = (op_lstm(MLP((6, 5), outputs=1), count, ERROR, BACK, gamma=0.1) for count in (3, 0))
    params = learner.init(jax.random.key(1), wave)
    found = make_closeness(learner, unlearned, mean_squared_error, 0.5)(params, wave)
    np.testing.assert_allclose(found.pass_cosine, 1, rtol=1e-4)
    assert not np.allclose(found.pass_ratio, 1, rtol=0.1)


def test_scores_by_pass_are_those_of_learners_with_so_many_passes(wave):
    base = MLP((6, 5), outputs=1)
    params = op_lstm(base, 3).init(jax.random.key(1), wave)
    found = make_scores_by_pass(op_lstm(base, 3), op_lstm(base, 0), mean_squared_error)(params, wave)
    one_by_one = [
        mean_squared_error(task_outputs(op_lstm(base, passes), params, wave), wave.query.y) for passes in range(4)
    ]
    np.testing.assert_allclose(found, one_by_one, rtol=1e-4)


def test_change_of_maml_is_what_its_steps_add_up_to(wave):
    learner, unlearned = (maml(MLP((6,), outputs=1), mean_squared_error, count, 0.1) for count in (2, 0))
    params = learner.init(jax.random.key(1), wave)
    fast, info = learner.adapt(params, wave.support)
    found = change(learner, unlearned, params, wave)
    for layer, moved in found.kernels.items():
        np.testing.assert_allclose(moved, jnp.sum(info["updates"][layer]["kernel"], 0), rtol=1e-4, atol=1e-6)
    before = unlearned.predict(params, unlearned.adapt(params, wave.support)[0], wave.query.x)
    np.testing.assert_allclose(found.outputs, learner.predict(params, fast, wave.query.x) - before, atol=1e-6)


def test_resemblance_of_gradient_descent_and_of_prototypes():
    base, episode = MLP((6, 5), outputs=3), blobs(jax.random.key(2))
    learner, unlearned = _pair(base, 2, CLASS_ERROR)
    params = learner.init(jax.random.key(1), episode)
    found = make_resemblance(learner, unlearned, base, cross_entropy, 2, 1.0)(params, episode)
    np.testing.assert_allclose((found.gradient_agreement, found.gradient_cosine), 1, rtol=1e-4)
    assert found.gradient_accuracy == found.accuracy and found.prototype_cosine < 0.999
    # A last layer that is the prototypes' own: their classes, up to the part that a bias would have to carry.
    features = MLP((6, 5)).apply({"params": {k: v for k, v in params["base"].items() if k != "out"}}, episode.support.x)
    kernel = prototype_kernel(features, episode.support.y)
    bias = -jnp.sum(jnp.square(kernel / 2), 0)
    still = {**params, "base": {**params["base"], "out": {"kernel": kernel, "bias": bias}}}
    found = make_resemblance(unlearned, unlearned, base, cross_entropy, 1, 1.0)(still, episode)
    np.testing.assert_allclose((found.prototype_agreement, found.prototype_cosine), 1, rtol=1e-5)
    assert found.prototype_accuracy == found.accuracy
    close = make_network_similarity(unlearned, unlearned, base, cross_entropy, 1.0)(still, episode)
    np.testing.assert_allclose((close.prototype_cosine, close.prototype_ratio), 1, rtol=1e-5)


def test_kernels_are_those_of_the_layers_in_order(wave):
    learner, _ = _pair(MLP((6, 5), outputs=1), 1)
    params = learner.init(jax.random.key(1), wave)
    network = fast_network(learner, params, learner.adapt(params, wave.support)[0])
    assert [kernel.shape for kernel in kernels(network.weights).values()] == [(1, 6), (6, 5), (5, 1)]


def test_kernels_of_many_layers_go_by_number():
    names = [*(f"dense_{layer}" for layer in range(12)), "out"]
    weights = {**{name: {"kernel": name} for name in sorted(names)}, "norm_0": {"scale": 1}}
    assert list(kernels(weights)) == list(kernels(weights).values()) == names


def test_statistics_of_other_weights_are_not_made_up():
    """With norm="support" the network keeps those of its own weights."""
    base, episode = MLP((6, 5), 3, "support"), blobs(jax.random.key(0))
    learner, unlearned = op_lstm(base, 2), op_lstm(base, 0)
    params = learner.init(jax.random.key(1), episode)
    for made in (
        make_scores_by_pass(learner, unlearned, cross_entropy),
        make_closeness(learner, unlearned, cross_entropy, 0.5),
        make_resemblance(learner, unlearned, base, cross_entropy, 2, 0.5),
    ):
        with pytest.raises(ValueError, match="norm is 'support': other kernels would have other statistics"):
            made(params, episode)
    assert np.isfinite(change(learner, unlearned, params, episode).outputs).all()  # has no other weights
