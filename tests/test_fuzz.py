"""Whatever a person writes or hands over: a result, or a ValueError of one line. The slow tests try many more cases."""

import json
import string

import jax
import jax.numpy as jnp
import numpy as np
from fuzzing import fuzz, value_error_or
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oplstm_jax
from experiments.configs import glyphs, sine
from oplstm_jax import MLP, Conv4, Episode, ResNet12, Split, VisionTransformer, build
from oplstm_jax.learners import FACTORIES
from oplstm_jax.losses import accuracy, cross_entropy, mean_squared_error

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.sampled_from([2**31, 2**63, 10**30, -(2**40)]),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(-1, 3), max_size=3),
    st.lists(st.integers(-1, 3), max_size=3).map(tuple),
    st.dictionaries(st.sampled_from(["flip", "crop", "x"]), st.integers(-1, 2), max_size=2),
)


CONFIGS = {
    "sine": json.loads(sine.get_config("op_lstm").to_json_best_effort()),
    "maml": json.loads(sine.get_config("maml").to_json_best_effort()),
    "glyphs": json.loads(glyphs.get_config("protonet").to_json_best_effort()),
}


@fuzz(30, 3000, st.sampled_from(sorted(CONFIGS)), st.data())
def test_configurations(name, data):
    config = dict(CONFIGS[name])
    for field in data.draw(st.lists(st.sampled_from(sorted(config)), min_size=1, max_size=2, unique=True)):
        config[field] = data.draw(ODD, label=field)

    def everything():
        build.build_settings(config)
        problem = build.build_problem(config)
        shapes = jax.eval_shape(problem.sampler("train"), jax.random.key(0))
        assert all(problem.sampler(split) for split in ("validation", "test"))
        return shapes

    value_error_or(everything)


@fuzz(300, 3000, st.one_of(st.text(max_size=20), st.text(string.ascii_lowercase + "_=,.()0123456789-", max_size=30)))
def test_text_after_the_colon(text):
    for prefix in ("", "op_lstm,", "op_lstm,shot=", "op_lstm,hidden="):
        value_error_or(lambda prefix=prefix: sine.get_config(prefix + text))


OPTIONS = (
    "sizes inputs gamma inner_lr clip recompute low_rank second_order learning_rate optimiser classes full warp_start "
    "loss_scale adapt_biases"
)
BASES = st.one_of(
    st.none(),
    st.builds(
        MLP,
        st.lists(st.integers(-1, 3), max_size=2).map(tuple),
        st.sampled_from([None, 0, 2, "x"]),
        st.text(max_size=1),
    ),
    st.builds(MLP, st.just((3,)), st.just(2)),
    st.builds(Conv4, st.integers(-1, 2), st.sampled_from([None, 2])),
    st.builds(ResNet12, st.integers(-1, 2), st.sampled_from([None, 2])),
    st.builds(VisionTransformer, *[st.integers(-1, 2)] * 4, st.sampled_from([None, 2]), st.sampled_from(["layer", ""])),
)


@fuzz(500, 5000,
    st.one_of(st.sampled_from(sorted(FACTORIES)), ODD),
    BASES,
    ODD,
    st.dictionaries(st.sampled_from(OPTIONS.split()), ODD, max_size=3),
)
def test_learners_by_name(name, base, passes, options):
    value_error_or(lambda: oplstm_jax.make(name, base, cross_entropy, passes, options))


KINDS = st.sampled_from([np.float32, np.float32, np.float16, np.int32, np.uint8, np.bool_, np.complex64])
SHAPES = st.one_of(
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3), st.sampled_from([(3, 2), (3, 4), (2, 2)])
)
ARRAYS = st.builds(lambda kind, shape: np.zeros(shape, kind), KINDS, SHAPES)
THINGS = st.one_of(ARRAYS, ARRAYS, ARRAYS, st.none(), st.just([[1.0]]), st.text(max_size=2))
GOOD = Split(jnp.ones((4, 3)), jnp.eye(2)[np.array([0, 0, 1, 1])])
LEARNERS = {
    "op_lstm": oplstm_jax.op_lstm(MLP((3,), 2), 2),
    "op_lstm_head": oplstm_jax.op_lstm_head(MLP((3,)), 1),
    "lstm": oplstm_jax.lstm(None, (3,), 2),
    "pi_lstm": oplstm_jax.pi_lstm(None, (3,), 2),
    "maml": oplstm_jax.maml(MLP((3,), 2), cross_entropy, 1, 0.1),
    "protonet": oplstm_jax.protonet(MLP((3,))),
}
PARAMS = {name: learner.init(jax.random.key(0), Episode(GOOD, GOOD)) for name, learner in LEARNERS.items()}


@fuzz(20, 1500, st.sampled_from(sorted(LEARNERS)), st.data())
def test_arrays_given_to_learners(name, data):
    """Traced, not run: what does not fit is found before anything is computed."""
    learner, key = LEARNERS[name], jax.random.key(0)
    x, y = (data.draw(st.one_of(THINGS, st.just(good))) for good in GOOD)
    support, other = Split(x, y), data.draw(st.sampled_from([GOOD, None, (1,)]))
    weights = data.draw(st.sampled_from([PARAMS[name], PARAMS[name], PARAMS["maml"], {}, None]))
    value_error_or(lambda: jax.eval_shape(lambda: learner.init(key, Episode(support, other))))
    value_error_or(lambda: jax.eval_shape(lambda: learner.adapt(weights, support)))
    fast = jax.eval_shape(lambda: learner.adapt(PARAMS[name], GOOD))[0]
    value_error_or(lambda: jax.eval_shape(lambda fast: learner.predict(weights, fast, x), fast))


@fuzz(60, 2000, ARRAYS, ARRAYS)
def test_losses(outputs, targets):
    for loss in (mean_squared_error, cross_entropy, accuracy):
        value_error_or(lambda: jax.eval_shape(loss, outputs, targets))  # noqa: B023
