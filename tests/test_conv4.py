"""Conv-4: its pooling, its shapes, and what its normalisation does and does not share."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oplstm_jax.nets.conv4 import Conv4, max_pool
from oplstm_jax.nets.norm import apply_query, apply_support


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


def _convolutions(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            yield equation
        for value in equation.params.values():
            if hasattr(value, "jaxpr"):
                yield from _convolutions(value.jaxpr)


@pytest.mark.parametrize("shared", [True, False])
def test_tasks_become_a_larger_batch_where_they_share_weights(shared):
    """Forward and backward; with weights per task, as in MAML, there are groups, one per task."""
    net, x = Conv4(filters=4, blocks=2), jnp.stack([_images(seed) for seed in range(3)])
    params = _params(net, x[0])
    if not shared:
        params = jax.tree.map(lambda a: jnp.stack([a] * 3), params)

    def total(params):
        apply = jax.vmap(lambda p, x: net.apply({"params": p}, x), in_axes=(None if shared else 0, 0))
        return jnp.sum(jnp.square(apply(params, x)))

    found = list(_convolutions(jax.make_jaxpr(jax.grad(total))(params).jaxpr))
    assert len(found) == 5  # two forward, two weight gradients, one input gradient
    groups = {e.params["feature_group_count"] * e.params["batch_group_count"] for e in found}
    assert groups == ({1} if shared else {3})


@pytest.mark.parametrize("shape", [(2, 15, 16, 1), (2, 16, 8, 3)])
def test_too_small_images_are_refused(shape):
    with pytest.raises(ValueError, match=f"images of {shape[1]}x{shape[2]} pixels: 4 poolings need 16x16 or more"):
        Conv4().init(jax.random.key(0), jnp.zeros(shape))


def test_images_need_a_channel_dimension():
    with pytest.raises(ValueError, match="channels"):
        Conv4().init(jax.random.key(0), jnp.zeros((2, 28, 28)))
