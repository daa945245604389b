"""OP-LSTM on any layers: what it is where its parts are known."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import blobs, pictures

from oplstm_jax.learners.op_lstm import op_lstm
from oplstm_jax.learners.op_lstm_general import op_lstm_general
from oplstm_jax.learners.op_lstm_head import op_lstm_head
from oplstm_jax.learners.rules import fixed_rule
from oplstm_jax.losses import mean_squared_error
from oplstm_jax.nets.chain import chain
from oplstm_jax.nets.conv4 import Conv4
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.resnet12 import ResNet12
from oplstm_jax.nets.transformer import VisionTransformer
from oplstm_jax.params import named_arrays
from oplstm_jax.types import Episode, Split

ERROR = fixed_rule(lambda target, prediction: target - prediction)
MESSAGE = fixed_rule(lambda activation, message: message)
# The last block of a network with what goes into it, of which it leaves one pixel or token.
BLOCKS = {
    "Conv4": (Conv4(4, 3, "transductive"), (2, 2, 4)),
    "ResNet12": (ResNet12(1, 3, "transductive"), (2, 2, 4)),
    "VisionTransformer": (VisionTransformer(4, 1, 2, 4, 3), (1, 4)),
}


def _outputs(learner, params, episode):
    fast, info = jax.jit(learner.adapt)(params, episode.support)
    return learner.predict(params, fast, episode.query.x), info


@pytest.mark.parametrize("gamma", [None, 0.01])
def test_on_linear_layers_it_is_the_papers(gamma):
    """Positive inputs and weights keep every ReLU at its linear side."""
    base, episode = MLP((6, 5), 3), blobs(jax.random.key(0))
    episode = jax.tree.map(jnp.abs, episode)
    paper, general = op_lstm(base, 2, gamma=gamma), op_lstm_general(chain(base), 2, gamma=gamma)
    params = jax.tree.map(lambda a: a, paper.init(jax.random.key(1), episode))
    params["base"] = jax.tree.map(lambda a: jnp.abs(a) + 2.0, params["base"])
    layers = [{"dense": params["base"][name]} for name in ("dense_0", "dense_1", "out")]
    same = {**{name: params[name] for name in params if name != "base"}, "layers": layers}
    expected, passes = _outputs(paper, params, episode)
    found, info = _outputs(general, same, episode)
    assert np.abs(expected - paper.predict(params, *_untaught(paper, params, episode))).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    for layer, update in enumerate(passes["updates"]):
        np.testing.assert_allclose(info["updates"][layer]["dense"]["kernel"], update, rtol=1e-3, atol=1e-5)


def _untaught(learner, params, episode):
    none = op_lstm(MLP((6, 5), 3), 0, gamma=None)
    return none.adapt(params, episode.support)[0], episode.query.x


def test_with_all_but_one_layer_frozen_it_is_the_last_layer_alone():
    base, episode = Conv4(4, 3, "transductive", blocks=2), pictures(jax.random.key(0))
    general = op_lstm_general(chain(base), 3, frozen=2)
    head = op_lstm_head(base.clone(outputs=None), 3, scalar_bias=False)
    params = general.init(jax.random.key(1), episode)
    blocks = {f"{kind}_{i}": params["layers"][i][kind] for i in range(2) for kind in ("conv", "norm")}
    last = params["layers"][2]["dense"]
    same = {"features": blocks, **last, "rule": params["output_rule"], "gamma": params["gamma"]}
    expected, _ = _outputs(head, same, episode)
    np.testing.assert_allclose(_outputs(general, params, episode)[0], expected, rtol=1e-4, atol=1e-5)


def test_rules_that_pass_the_error_on_make_it_gradient_descent():
    base, episode = MLP((6, 5), 3, "transductive"), blobs(jax.random.key(0))
    general = op_lstm_general(chain(base), 1, ERROR, MESSAGE, gamma=None)
    params = general.init(jax.random.key(1), episode)
    _, info = _outputs(general, params, episode)

    def error(layers):
        x = episode.support.x
        for layer, own in zip(chain(base), layers, strict=True):
            x = layer.apply({"params": own}, x)
        return 0.5 * jnp.sum(jnp.square(x - episode.support.y)) / len(x)

    gradient = jax.grad(error)(params["layers"])
    for update, own in zip(info["updates"], gradient, strict=True):
        np.testing.assert_allclose(update["dense"]["kernel"][0], -own["dense"]["kernel"], rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(update["dense"]["bias"], 0)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_moves_all_of_its_kernels_by_its_own_derivative(name):
    """Where one pixel or token is left, passing the error on is gradient descent, of kernels alone.

    Through pooling, activation, normalisation, shortcut and attention.
    """
    net, shape = BLOCKS[name]
    x, y = jax.random.normal(jax.random.key(0), (6, *shape)), jnp.repeat(jnp.eye(3), 2, axis=0)
    layers = chain(net)[-2:]
    general = op_lstm_general(layers, 1, ERROR, MESSAGE, gamma=None)
    params = jax.jit(general.init)(jax.random.key(1), Episode(Split(x, y), Split(x, y)))

    def error(weights):
        outputs = x
        for layer, own in zip(layers, weights, strict=True):
            outputs = layer.apply({"params": own}, outputs)
        return 0.5 * jnp.sum(jnp.square(outputs - y)) / len(y)

    @jax.jit
    def both(params):
        return general.adapt(params, Split(x, y))[1]["updates"], jax.grad(error)(params["layers"])

    updates, gradient = map(named_arrays, both(params))
    for name, update in updates.items():
        expected = -gradient[name] if name.endswith("kernel") else np.zeros_like(gradient[name])
        np.testing.assert_allclose(update[0], expected, rtol=1e-3, atol=1e-5, err_msg=name)
        assert np.abs(expected).max() > 1e-4 or not name.endswith("kernel"), name


def test_every_layer_moves_and_can_learn_the_task():
    """With the error passed on and enough passes, the support set of a task is learned, convolutions included."""
    base, episode = Conv4(8, 3, "transductive", blocks=2), pictures(jax.random.key(0))
    losses = {}
    for passes in (0, 60):
        learner = op_lstm_general(chain(base), passes, ERROR, MESSAGE, gamma=0.05)
        params = learner.init(jax.random.key(1), episode)
        outputs, info = _outputs(learner, params, episode)
        losses[passes] = mean_squared_error(outputs, episode.query.y)
    for layer in info["updates"]:
        assert np.abs((layer.get("conv") or layer["dense"])["kernel"]).max() > 0
    assert losses[60] < 0.1 * losses[0]


BAD = [({"passes": -1}, "passes is -1"), ({"frozen": 3}, "frozen is 3: expected 0 to 2")]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_bad_input(change, words):
    with pytest.raises(ValueError, match=words):
        op_lstm_general(chain(MLP((6, 5), 3)), **{"passes": 2, **change})


def test_networks_that_are_no_chain():
    with pytest.raises(ValueError, match="MLP cannot be taken apart: expected one of MLP, Conv4, ResNet12, Vision"):
        chain(MLP((6, 5)))


def test_a_chain_is_all_that_its_network_says():
    x, key = jnp.ones((2, 4)), jax.random.key(0)
    for zero in (True, False):
        hidden, out = chain(MLP((6,), 3, zero_hidden_biases=zero))
        assert (not hidden.init(key, x)["params"]["dense"]["bias"].any()) == zero
        assert out.init(key, x)["params"]["dense"]["bias"].all()
    with pytest.raises(ValueError, match="layers of a chain only have float32: precision is bfloat16"):
        chain(Conv4(4, 3, precision="bfloat16"))


WRONG = [
    ([], "layers is empty: expected one layer or more"),
    ([nn.Dense(5), nn.relu, nn.Dense(3)], "layers[1] is relu: expected a Flax module, such as MLP((40,))"),
    ([nn.Dense], "layers[0] is Dense: expected a Flax module"),
]


@pytest.mark.parametrize(("layers", "words"), WRONG)
def test_layers_are_flax_modules(layers, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        op_lstm_general(layers, 2)


def test_layers_may_compute_in_half_precision():
    learner, episode = op_lstm_general([nn.Dense(5, dtype=jnp.bfloat16), nn.Dense(3)], 2), pictures(jax.random.key(0))
    episode = jax.tree.map(lambda a: a.reshape(len(a), -1), episode)
    params = learner.init(jax.random.key(1), episode)

    def loss(params):
        fast, _ = learner.adapt(params, episode.support)
        return mean_squared_error(learner.predict(params, fast, episode.query.x), episode.query.y)

    value, gradient = jax.value_and_grad(loss)(params)
    assert np.isfinite(value)
    for name, leaf in named_arrays(gradient).items():
        assert leaf.dtype == np.float32 and np.isfinite(leaf).all() and np.abs(leaf).max() > 0, name
