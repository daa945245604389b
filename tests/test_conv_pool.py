"""The kernels of Conv-4's first block, interpreted, against the same function in XLA's operations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oplstm_jax.bases import build_base
from oplstm_jax.nets import conv_pool
from oplstm_jax.nets.conv import plain_conv3x3
from oplstm_jax.nets.conv4 import Conv4, max_pool
from oplstm_jax.nets.norm import Norm, moments


def plain_conv_pool(x, kernel, sign):
    y = plain_conv3x3(x, kernel)
    mean, variance = moments(y, (0, 1, 2))
    sign = sign[None, None, None]
    return conv_pool.Pooled(sign * max_pool(sign * y), mean.ravel(), variance.ravel())


@pytest.mark.parametrize("shape", [(3, 14, 14, 1), (2, 20, 16, 3)])
def test_kernels_are_convolution_moments_and_pooling(shape):
    keys = jax.random.split(jax.random.key(0), 6)
    x = jax.random.uniform(keys[0], shape)
    kernel = 0.2 * jax.random.normal(keys[1], (3, 3, shape[-1], 16))
    sign = jnp.sign(jax.random.normal(keys[2], (16,)))
    found, back = jax.vjp(lambda k: conv_pool.conv_pool(x, k, sign), kernel)
    wanted, plain_back = jax.vjp(lambda k: plain_conv_pool(x, k, sign), kernel)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    of_maximum, *of_moments = jax.random.split(keys[3], 3)
    g = conv_pool.Pooled(
        jax.random.normal(of_maximum, wanted.maximum.shape), *(30 * jax.random.normal(k, (16,)) for k in of_moments)
    )
    np.testing.assert_allclose(back(g)[0], plain_back(g)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", ["transductive", pytest.param("support", marks=pytest.mark.slow)])
def test_conv4_with_the_kernel_is_conv4(norm, monkeypatch):
    keys = jax.random.split(jax.random.key(1), 4)
    x = jax.random.uniform(keys[0], (2, 5, 28, 28, 1))  # two tasks
    weights = jax.random.normal(keys[1], (2, 5, 5))
    plain, fused = (Conv4(16, 5, norm, fused=kind) for kind in (False, True))
    params = plain.init(keys[2], x[0])["params"]
    params["norm_0"]["scale"] = jnp.where(jnp.arange(16) % 3 == 0, -0.5, 1.5)

    @functools.partial(jax.jit, static_argnums=0)
    @functools.partial(jax.value_and_grad, argnums=1)
    def loss(net, params):
        outputs = jax.vmap(lambda x: net.apply({"params": params}, x, mutable=["stats"])[0])(x)
        return jnp.sum(weights * outputs)

    wanted, grads = loss(plain, params)
    monkeypatch.setattr(conv_pool, "available", lambda: True)
    assert jax.tree.structure(fused.init(keys[3], x[0])["params"]) == jax.tree.structure(params)
    found, fused_grads = loss(fused, params)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    for a, b in zip(jax.tree.leaves(fused_grads), jax.tree.leaves(grads), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_only_learners_that_share_features_have_it():
    config = {
        "base": "conv4",
        "precision": "float32",
        "filters": 64,
        "way": 5,
        "data": "omniglot",
        "norm": "transductive",
    }
    assert build_base(config | {"learner": "op_lstm_head"}).fused
    assert not build_base(config | {"learner": "maml"}).fused
    assert not conv_pool.available()  # no GPU in tests


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="H and W even"):
        conv_pool.conv_pool(jnp.ones((1, 15, 14, 1)), jnp.ones((3, 3, 1, 16)), jnp.ones(16))


@pytest.mark.parametrize("mode", ["layer", "none"])
def test_a_pending_convolution_needs_statistics_of_batches(mode):
    pending = conv_pool.Convolution(jnp.ones((1, 14, 14, 1)), jnp.ones((3, 3, 1, 16)))
    with pytest.raises(ValueError, match="transductive, support"):
        Norm(mode).init(jax.random.key(0), pending)
