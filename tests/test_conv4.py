"""Conv-4: its pooling, its shapes, and what its normalisation does and does not share."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oplstm_jax.nets import conv
from oplstm_jax.nets.conv4 import Conv4, max_pool
from oplstm_jax.nets.norm import Norm, apply_query, apply_support


def _images(seed: int, size: int = 16, count: int = 5, channels: int = 1):
    return jax.random.uniform(jax.random.key(seed), (count, size, size, channels))


def _params(net, x):
    return jax.jit(net.init)(jax.random.key(0), x)["params"]


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (2, 5, 4, 1), (1, 7, 9, 2)])
def test_max_pool_and_its_gradient_are_those_of_the_window_reduction(shape):
    x, weight = (jax.random.normal(jax.random.key(seed), shape) for seed in (0, 1))
    weight = weight[:, : shape[1] // 2, : shape[2] // 2]

    def value_and_gradient(pool):
        return pool(x), jax.grad(lambda x: jnp.sum(weight * pool(x)))(x)

    ours, reference = value_and_gradient(max_pool), value_and_gradient(lambda x: nn.max_pool(x, (2, 2), (2, 2)))
    jax.tree.map(np.testing.assert_array_equal, ours, reference)


@pytest.mark.parametrize(("size", "features"), [(28, 64), (84, 1600)])
def test_shapes_of_the_paper(size, features):
    x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    shapes = jax.eval_shape(Conv4(outputs=5).init, jax.random.key(0), x)["params"]
    assert shapes["conv_0"]["kernel"].shape == (3, 3, 3, 64)
    assert shapes["conv_3"]["kernel"].shape == (3, 3, 64, 64)
    assert shapes["out"]["kernel"].shape == (features, 5)
    features_only = Conv4()
    out = jax.eval_shape(lambda p, x: features_only.apply({"params": p}, x), shapes, x)
    assert out.shape == (2, features)


def test_initial_values_are_drawn_from_the_range_of_pytorch():
    params = _params(Conv4(filters=32, outputs=5, blocks=2), _images(0, count=2, channels=3))
    for name, fan_in in [("conv_0", 27), ("conv_1", 288), ("out", 512)]:
        bound = 1 / np.sqrt(fan_in)
        for array in params[name].values():
            assert np.abs(array).max() <= bound
        assert np.abs(params[name]["kernel"]).max() > 0.9 * bound
    np.testing.assert_array_equal(params["norm_0"]["scale"], 1)
    np.testing.assert_array_equal(params["norm_0"]["shift"], 0)


def test_without_norm_it_is_convolution_relu_and_pool():
    x = _images(1)
    net = Conv4(filters=3, norm="none", blocks=1)
    params = _params(net, x)
    assert set(params) == {"conv_0"}
    maps = nn.Conv(3, (3, 3), padding=1).apply({"params": params["conv_0"]}, x)
    expected = nn.max_pool(jax.nn.relu(maps), (2, 2), (2, 2)).reshape(len(x), -1)
    np.testing.assert_allclose(net.apply({"params": params}, x), expected, atol=1e-6)


def test_support_mode_is_transductive_when_the_query_is_the_support_set():
    x, other = _images(1), _images(2)
    net, same = Conv4(filters=4, norm="support"), Conv4(filters=4)
    params = _params(net, x)
    features, stats = apply_support(net, params, x)
    np.testing.assert_allclose(apply_query(net, params, stats, x), features, atol=1e-6)
    np.testing.assert_allclose(apply_query(same, params, {}, x), features, atol=1e-6)
    assert np.abs(apply_query(net, params, stats, other) - apply_query(same, params, {}, other)).max() > 1e-3


def test_layer_mode_looks_at_each_example_alone():
    x = _images(1)
    for norm, alone in [("layer", True), ("transductive", False)]:
        net = Conv4(filters=4, norm=norm)
        params = _params(net, x)
        whole, part = (net.apply({"params": params}, images) for images in (x, x[:2]))
        assert (np.abs(whole[:2] - part).max() < 1e-5) == alone


@pytest.mark.parametrize("norm", ["transductive", "layer", "none"])
def test_there_is_no_running_state(norm):
    net, x = Conv4(filters=4, norm=norm), _images(1)
    params = _params(net, x)
    first, stats = apply_support(net, params, x)
    apply_support(net, params, _images(2))
    assert set(net.init(jax.random.key(0), x)) == {"params"} and not jax.tree.leaves(stats)
    np.testing.assert_array_equal(first, apply_support(net, params, x)[0])


@pytest.mark.parametrize("features", [2, 9])
@pytest.mark.parametrize("block", [1, 9 * 5 * 6 * 2, 10**6], ids=["1 image", "some", "all"])
def test_derivatives_of_both_convolutions_agree(features, block, monkeypatch, x64):
    """First and second order, whatever the blocks, also with images that fill no whole block."""
    monkeypatch.setattr(conv, "BLOCK", block)
    keys = jax.random.split(jax.random.key(0), 3)
    x, kernel = jax.random.normal(keys[0], (5, 5, 6, features)), jax.random.normal(keys[1], (3, 3, features, 4))
    weights = jax.random.normal(keys[2], (5, 5, 6, 4))

    def gradients(convolve, x, kernel):
        return jax.grad(lambda *a: jnp.sum(weights * jnp.tanh(convolve(*a))), (0, 1))(x, kernel)

    def second(convolve, x, kernel):
        return jax.grad(lambda *a: sum(jnp.sum(g**3) for g in gradients(convolve, *a)), (0, 1))(x, kernel)

    for order in (gradients, second):
        expected, found = (order(f, x, kernel) for f in (conv.plain_conv3x3, conv.cpu_conv3x3))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), found, expected)


@pytest.mark.parametrize("mode", ["transductive", "layer", "none"])
def test_pooling_before_the_norm_is_pooling_after_it(mode):
    norm, x = Norm(mode), jax.random.normal(jax.random.key(0), (3, 4, 4, 2))
    params = {} if mode == "none" else {"scale": jnp.array([0.5, -2.0]), "shift": jnp.array([0.1, 0.2])}
    pooled = norm.apply({"params": params}, x, max_pool)
    np.testing.assert_allclose(pooled, max_pool(norm.apply({"params": params}, x)), atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 15, 16, 1), (2, 16, 8, 3)])
def test_too_small_images_are_refused(shape):
    with pytest.raises(ValueError, match=f"images of {shape[1]}x{shape[2]} pixels: 4 poolings need 16x16 or more"):
        Conv4().init(jax.random.key(0), jnp.zeros(shape))


def test_images_need_a_channel_dimension():
    with pytest.raises(ValueError, match="channels"):
        Conv4().init(jax.random.key(0), jnp.zeros((2, 28, 28)))


def test_bfloat16_is_close_and_leaves_parameters_in_float32():
    x = _images(7, count=8)
    exact, coarse = (Conv4(filters=4, outputs=3, blocks=2, precision=name) for name in ("float32", "bfloat16"))
    params = _params(exact, x)

    def outputs_and_gradient(net):
        def loss(params):
            outputs = net.apply({"params": params}, x)
            return jnp.sum(jnp.square(outputs)), outputs

        return jax.jit(jax.grad(loss, has_aux=True))(params)

    (gradient, outputs), (rough, near) = outputs_and_gradient(exact), outputs_and_gradient(coarse)
    assert near.dtype == jnp.float32 and {leaf.dtype for leaf in jax.tree.leaves(rough)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(near, outputs, atol=0.05)
    assert np.abs(near - outputs).max() > 1e-5  # or it was not bfloat16 at all
    for name in ("conv_0", "conv_1", "out"):
        mine, other = (np.ravel(tree[name]["kernel"]) for tree in (rough, gradient))
        assert mine @ other > 0.98 * np.linalg.norm(mine) * np.linalg.norm(other)
