"""Residual nets and vision transformers: their shapes, what they compute, and the chains of their layers."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.configs import base_learners
from experiments.configs.base import base_config
from oplstm_jax import bases, build
from oplstm_jax.nets.chain import chain
from oplstm_jax.nets.norm import apply_query, apply_support
from oplstm_jax.nets.resnet12 import ResNet12
from oplstm_jax.nets.transformer import VisionTransformer, attention, patches

RESNET, TRANSFORMER = ResNet12(2, 3, "support"), VisionTransformer(8, 2, 2, 8, 3)
NORMALISED = TRANSFORMER.clone(norm="support")
NETS = [pytest.param(RESNET, id="resnet12", marks=pytest.mark.slow), pytest.param(TRANSFORMER, id="vit")]
NETS.append(pytest.param(NORMALISED, id="vit, means normalised"))


def _images(seed: int, count: int = 4, size: int = 16):
    return jax.random.uniform(jax.random.key(seed), (count, size, size, 1))


@pytest.mark.parametrize(("size", "features"), [(28, 512), (84, 512)])
def test_shapes_of_resnet12(size, features):
    x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    shapes = jax.eval_shape(ResNet12(outputs=5).init, jax.random.key(0), x)["params"]
    assert shapes["block_0"]["conv_0"]["kernel"].shape == (3, 3, 3, 64)
    assert shapes["block_3"]["conv_2"]["kernel"].shape == (3, 3, 512, 512)
    assert shapes["block_3"]["shortcut"]["kernel"].shape == (256, 512)
    assert shapes["out"]["kernel"].shape == (features, 5)
    out = jax.eval_shape(lambda p, x: ResNet12().apply({"params": p}, x), shapes, x)
    assert out.shape == (2, features)


def test_shapes_of_the_transformer():
    x = jax.ShapeDtypeStruct((2, 28, 28, 3), jnp.float32)
    shapes = jax.eval_shape(VisionTransformer(outputs=5).init, jax.random.key(0), x)["params"]
    assert shapes["patches"]["kernel"].shape == (7 * 7 * 3, 64) and shapes["patches"]["positions"].shape == (16, 64)
    assert shapes["block_1"]["query_key_value"]["kernel"].shape == (64, 192)
    assert set(shapes) == {"patches", "block_0", "block_1", "norm", "out"}
    out = jax.eval_shape(lambda p, x: VisionTransformer().apply({"params": p}, x), shapes, x)
    assert out.shape == (2, 64)


@functools.cache
def _net(net):
    """Parameters, and a jitted (parameters, support x, query x) -> outputs on both."""

    @jax.jit
    def both(params, x, query):
        outputs, stats = apply_support(net, params, x)
        return outputs, apply_query(net, params, stats, query)

    return jax.jit(net.init)(jax.random.key(2), _images(0))["params"], both


@pytest.mark.parametrize("net", NETS)
def test_its_chain_computes_what_the_network_does(net):
    """With the statistics of the support set, so that layers pass those on too."""
    x, query = _images(0), _images(1)
    params, both = _net(net)
    last = {name: params[name] for name in ("out", "norm", "norm_means") if name in params}
    own = [*(params[name] for name in ("patches", *sorted(n for n in params if "block" in n)) if name in params), last]

    @jax.jit
    def in_turn(own, x, query):
        for layer, weights in zip(chain(net), own, strict=True):
            x, stats = apply_support(layer, weights, x)
            query = apply_query(layer, weights, stats, query)
        return x, query

    for found, expected in zip(in_turn(own, x, query), both(params, x, query), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("net", [net for net in NETS if net.values[0] is not TRANSFORMER])
def test_the_query_is_normalised_with_the_support_set(net):
    x, other = _images(0), _images(1)
    params, both = _net(net)
    features, same = both(params, x, x)
    np.testing.assert_allclose(same, features, atol=1e-5)
    assert np.abs(both(params, x, other)[1] - both(params, other, other)[1]).max() > 1e-3


def test_tokens_know_their_place_and_examples_are_alone():
    x, other = _images(0), _images(1)
    params, both = _net(TRANSFORMER)
    outputs, mixed = both(params, x, jnp.concatenate([x[:2], other[2:]]))
    np.testing.assert_allclose(mixed[:2], outputs[:2], atol=1e-6)
    assert np.abs(outputs - both(params, x, x[:, ::-1])[1]).max() > 1e-4


def test_a_residual_block_is_three_convolutions_beside_a_shortcut():
    """With other modules of Flax, without normalisation."""
    block, x = chain(ResNet12(2, 3, "none"))[0], _images(0, size=4)
    params = jax.jit(block.init)(jax.random.key(1), x)["params"]
    y = x
    for layer in range(3):
        y = nn.Conv(2, (3, 3), padding=1).apply({"params": params[f"conv_{layer}"]}, y)
        y = jnp.where(y > 0, y, 0.1 * y) if layer < 2 else y
    y += nn.Conv(2, (1, 1), use_bias=False).apply({"params": {"kernel": params["shortcut"]["kernel"][None, None]}}, x)
    expected = nn.max_pool(jnp.where(y > 0, y, 0.1 * y), (2, 2), (2, 2))
    np.testing.assert_allclose(block.apply({"params": params}, x), expected, atol=1e-5)


def test_attention_is_that_of_the_library():
    x = jax.random.normal(jax.random.key(0), (2, 5, 24))
    queries, keys, values = (part.reshape(2, 5, 2, 4) for part in jnp.split(x, 3, axis=-1))
    expected = jax.nn.dot_product_attention(queries, keys, values).reshape(2, 5, 8)
    np.testing.assert_allclose(attention(x, heads=2), expected, atol=1e-5)


def test_patches_are_squares_row_by_row():
    x = jnp.arange(2 * 4 * 6 * 3, dtype=jnp.float32).reshape(2, 4, 6, 3)
    cut = patches(x, 2)
    assert cut.shape == (2, 6, 12)
    np.testing.assert_array_equal(cut[1, 4], x[1, 2:, 2:4].reshape(-1))
    assert patches(x[:0], 2).shape == (0, 6, 12)


def test_configurations_name_them():
    config = {**base_config().to_dict(), "data": "glyphs", "filters": 3, "transformer": {**SIZES}}
    assert bases.build_base({**config, "base": "resnet12", "norm": "layer"}) == ResNet12(3, 5, "layer")
    assert bases.build_base({**config, "base": "vit", "norm": "layer"}) == VisionTransformer(6, 1, 3, 7, 5)
    means = bases.build_base({**config, "base": "vit", "norm": "transductive"})
    assert means == VisionTransformer(6, 1, 3, 7, 5, "transductive")
    assert build.build_settings({**config, "base": "resnet12"}).tasks_at_once == 1


def test_a_config_dict_builds_what_its_mapping_does():
    config = base_learners.get_config("op_lstm_general,base=vit,norm=support")
    names = {name: value for name, value in config.to_dict().items() if name != "augment"}
    assert bases.build_base(config) == bases.build_base(names) == VisionTransformer(outputs=5, norm="support")
    found, expected = (build.build_problem(c) for c in (config, config.to_dict()))
    assert jax.tree.map(jnp.shape, found.sampler("train")(jax.random.key(0))).support.x == (5, 28, 28, 1)
    assert (found.metric, found.chance) == (expected.metric, expected.chance)


SIZES = {"width": 6, "blocks": 1, "heads": 3, "patch": 7}
REFUSED = {
    "images too small": (RESNET, (2, 8, 8, 1), "images of 8x8 pixels: 4 poolings need 16x16 or more"),
    "no images": (RESNET, (2, 64), r"ResNet-12 reads images \[M, H, W, channels\]"),
    "no images of patches": (TRANSFORMER, (2, 64), "a vision transformer reads images"),
    "patches that do not fit": (TRANSFORMER, (2, 8, 12, 1), "images of 8x12 pixels: expected multiples of the patch"),
    "heads that do not fit": (TRANSFORMER.clone(heads=3), (2, 8, 8, 1), "tokens of width 8 and 3 heads"),
}
BAD_FIELDS = [
    ({"norm": "none"}, "norm is none: base vit normalises tokens: expected layer, or transductive or support"),
    ({"transformer": {**SIZES, "heads": 0}}, "expected positive numbers for width, blocks, heads, patch"),
    ({"transformer": {"width": 8}}, "expected positive numbers for width, blocks, heads, patch"),
    ({"transformer": 8}, "transformer is 8: expected positive numbers"),
    ({"precision": "bfloat16"}, "base vit only has float32"),
]


@pytest.mark.parametrize("case", REFUSED)
def test_bad_inputs(case):
    net, shape, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(net.init, jax.random.key(0), jnp.zeros(shape))


@pytest.mark.parametrize(("change", "message"), BAD_FIELDS)
def test_bad_fields(change, message):
    config = {**base_config().to_dict(), "data": "glyphs", "base": "vit", "norm": "layer", **change}
    with pytest.raises(ValueError, match=message):
        bases.build_base(config)
