"""What the paper proves of OP-LSTM: equivariance to class labels, and gradient descent as a special case."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import blobs, waves

from oplstm_jax.learners import fast_weights
from oplstm_jax.learners.op_lstm import op_lstm
from oplstm_jax.learners.op_lstm_head import op_lstm_head
from oplstm_jax.learners.rules import (
    coordinate_lstm,
    fixed_rule,
    full_lstm,
    outer_product,
    outer_product_square,
    step_factor,
)
from oplstm_jax.losses import cross_entropy, mean_squared_error
from oplstm_jax.meta import task_outputs
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.types import Split

NET = MLP((8, 7), 3, "transductive")
FEATURES = MLP((8, 7))


@pytest.mark.parametrize("kind", ["head", "every layer"])
def test_relabelling_classes_permutes_the_outputs(kind):
    order = jnp.array([2, 0, 1])
    learner = op_lstm(NET, 3) if kind == "every layer" else op_lstm_head(FEATURES, 3, scalar_bias=False)
    episode = blobs(jax.random.key(0))
    params = learner.init(jax.random.key(1), episode)
    relabelled = episode._replace(support=episode.support._replace(y=episode.support.y[:, order]))
    if kind == "every layer":
        out = jax.tree.map(lambda a: a[..., order], params["base"]["out"])
        moved = {**params, "base": {**params["base"], "out": out}}
    else:
        moved = {**params, "kernel": params["kernel"][:, order], "bias": params["bias"][order]}
    outputs = task_outputs(learner, params, episode)
    np.testing.assert_allclose(task_outputs(learner, moved, relabelled), outputs[:, order], atol=1e-5)
    assert np.abs(task_outputs(learner, params, relabelled) - outputs[:, order]).max() > 1e-3


def _error(targets, outputs):
    return targets - outputs


def _softmax_error(targets, outputs):
    return targets - jax.nn.softmax(outputs)


@pytest.mark.parametrize(
    ("rule", "loss", "step", "episode"),
    [
        (_error, mean_squared_error, 0.5, waves(jax.random.key(3))),
        (_softmax_error, cross_entropy, 1.0, blobs(jax.random.key(3))),
    ],
    ids=["squared error", "cross entropy"],
)
def test_output_of_target_minus_prediction_is_a_gradient_step_on_the_last_layer(rule, loss, step, episode):
    learner = op_lstm_head(FEATURES, 1, fixed_rule(rule), gamma=None)
    params = learner.init(jax.random.key(1), episode)
    fast, info = learner.adapt(params, episode.support)

    def support_loss(kernel):
        a = FEATURES.apply({"params": params["features"]}, episode.support.x)
        return loss(a @ kernel + params["bias"][None], episode.support.y)

    gradient = jax.grad(support_loss)(params["kernel"])
    np.testing.assert_allclose(fast["kernel"], params["kernel"] - step * gradient, atol=1e-6)
    np.testing.assert_allclose(info["update"][0], -step * gradient, atol=1e-6)
    assert np.abs(gradient).max() > 1e-3


def test_every_layer_with_error_messages_is_a_gradient_step_on_all_layers_of_a_linear_network(x64):
    """Messages h W are backpropagated errors, so without ReLU kinks (all units active) every layer takes the step."""
    net = MLP((4, 5), 1)
    episode = jax.tree.map(lambda a: a.astype(jnp.float64), waves(jax.random.key(3)))
    episode = episode._replace(support=Split(jnp.abs(episode.support.x), episode.support.y))
    learner = op_lstm(net, 1, fixed_rule(_error), fixed_rule(lambda z, message: message), gamma=None)
    params = jax.tree.map(lambda a: jnp.abs(a.astype(jnp.float64)), learner.init(jax.random.key(1), episode))
    fast, _ = learner.adapt(params, episode.support)

    def support_loss(base):
        return mean_squared_error(net.apply({"params": base}, episode.support.x), episode.support.y)

    gradient = jax.grad(support_loss)(params["base"])
    for layer in ("dense_0", "dense_1", "out"):
        step = params["base"][layer]["kernel"] - 0.5 * gradient[layer]["kernel"]
        np.testing.assert_allclose(fast_weights.merged(fast["net"])[layer]["kernel"], step, atol=1e-12)


def test_gamma_is_the_norm_of_each_update():
    learner = op_lstm(NET, 2, gamma=0.125)
    episode = blobs(jax.random.key(0))
    params = learner.init(jax.random.key(1), episode)
    _, info = learner.adapt(params, episode.support)
    norms = jnp.sqrt(sum(jnp.sum(u**2, axis=(1, 2)) for u in info["updates"]))
    np.testing.assert_allclose(norms, 0.125, rtol=1e-5)


@pytest.mark.parametrize(
    ("passes", "gamma"),
    [(3, 0.1), *(pytest.param(*rest, marks=pytest.mark.slow) for rest in ((1, None), (1, 0.1), (3, None)))],
)
def test_factors_and_formed_weights_are_the_same_learner(passes, gamma, x64):
    episode = blobs(jax.random.key(0))
    makers = [op_lstm(NET, passes, gamma=gamma, adapt_biases=True, low_rank=flag) for flag in (True, False)]
    params = jax.tree.map(jnp.float64, makers[0].init(jax.random.key(1), episode))

    @functools.partial(jax.jit, static_argnums=1)
    @jax.value_and_grad
    def loss(params, learner):
        return cross_entropy(task_outputs(learner, params, episode), episode.query.y)

    (first, first_grad), (second, second_grad) = (loss(params, maker) for maker in makers)
    np.testing.assert_allclose(first, second, rtol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), first_grad, second_grad)
    weights = [fast_weights.merged(jax.jit(maker.adapt)(params, episode.support)[0]["net"]) for maker in makers]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), *weights)


@pytest.mark.parametrize("width", [2, 20])
def test_a_zero_update_stays_zero_and_has_finite_gradients(width):
    def total(outputs):
        inputs = jnp.ones((3, width))
        factor = step_factor(outer_product_square(inputs, outputs), jnp.array(0.1))
        return jnp.sum(factor * outer_product(inputs, outputs))

    value, grad = jax.value_and_grad(total)(jnp.zeros((3, width)))
    assert value == 0
    np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize("width", [2, 20])  # with 3 examples, pairs of them are compared where layers are wide
def test_the_square_of_an_outer_product_is_what_it_says(width, x64):
    inputs, outputs = jax.random.normal(jax.random.key(0), (2, 3, width), jnp.float64)
    squares = (outer_product_square(inputs, outputs), jnp.sum(jnp.square(outer_product(inputs, outputs))))
    np.testing.assert_allclose(*squares, rtol=1e-12)


def test_constant_predictions_keep_the_forward_pass_and_change_the_gradient():
    episode = waves(jax.random.key(0))
    makers = [op_lstm(MLP((6,), 1), 3, backprop_through_predictions=flag) for flag in (True, False)]
    params = makers[0].init(jax.random.key(1), episode)

    @functools.partial(jax.jit, static_argnums=1)
    @jax.value_and_grad
    def loss(params, learner):
        return mean_squared_error(task_outputs(learner, params, episode), episode.query.y)

    (first, first_grad), (second, second_grad) = (loss(params, maker) for maker in makers)
    np.testing.assert_allclose(first, second, rtol=1e-6)
    gap = jax.tree.map(lambda a, b: np.abs(a - b).max(), first_grad, second_grad)
    assert max(jax.tree.leaves(gap)) > 1e-5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: op_lstm(MLP((4,)), 1), "output layer"),
        (lambda: op_lstm(NET, -1), "passes is -1"),
        (lambda: op_lstm_head(FEATURES, -1), "passes is -1"),
        (lambda: op_lstm_head(FEATURES, 1, signals="nothing"), "unknown signals 'nothing'"),
        (lambda: coordinate_lstm((5, 2)), "the last is 1"),
        (lambda: coordinate_lstm(()), "lstm sizes"),
        (lambda: full_lstm(()), "lstm sizes"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
