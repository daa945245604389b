"""Whatever a person writes or hands over: a result, or a ValueError of one line. The slow tests try many more cases."""

import json
import os
import string

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oplstm_jax
from experiments.configs import glyphs, sine
from oplstm_jax import MLP, Conv4, Episode, Split, build, params, workdir
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


def fuzz(some, many, *strategies):
    """Makes a test of a function of drawn values: `some` cases, and `many` of them among the slow tests."""

    def decorate(body):
        @pytest.mark.parametrize("cases", [some, pytest.param(many, marks=pytest.mark.slow)])
        def test(cases):
            run = settings(max_examples=cases, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
            run(given(*strategies)(body))()

        test.__name__, test.__doc__ = body.__name__, body.__doc__
        return test

    return decorate


def value_error_or(function):
    """The result, or None after a ValueError whose message is one line that says something."""
    try:
        return function()
    except ValueError as error:
        assert str(error).strip() and "\n" not in str(error), repr(error)
        return None


CONFIGS = {
    "sine": json.loads(sine.get_config("op_lstm").to_json_best_effort()),
    "maml": json.loads(sine.get_config("maml").to_json_best_effort()),
    "glyphs": json.loads(glyphs.get_config("protonet").to_json_best_effort()),
}


@fuzz(60, 3000, st.sampled_from(sorted(CONFIGS)), st.data())
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
        value_error_or(lambda: sine.get_config(prefix + text))


OPTIONS = "sizes inputs gamma inner_lr clip second_order learning_rate optimiser classes full warp_start loss_scale adapt_biases"
BASES = st.one_of(
    st.none(),
    st.builds(MLP, st.lists(st.integers(-1, 3), max_size=2).map(tuple), st.sampled_from([None, 0, 2, "x"]), st.text(max_size=1)),
    st.builds(MLP, st.just((3,)), st.just(2)),
    st.builds(Conv4, st.integers(-1, 2), st.sampled_from([None, 2])),
)


@fuzz(500, 5000, 
    st.one_of(st.sampled_from(sorted(FACTORIES)), ODD),
    BASES,
    ODD,
    st.dictionaries(st.sampled_from(OPTIONS.split()), ODD, max_size=3),
)
def test_learners_by_name(name, base, passes, options):
    value_error_or(lambda: oplstm_jax.make(name, base, cross_entropy, passes, options))


KINDS = st.sampled_from([np.float32, np.float32, np.float16, np.float64, np.int32, np.uint8, np.bool_, np.complex64])
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


def damage(content, data):
    """The bytes with one to three of them changed, some left out or put in, or all replaced."""
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "zero", "replace"]))
        if kind == "flip" and at < len(content):
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del content[at:]
        elif kind == "insert":
            content[at:at] = data.draw(st.binary(max_size=4))
        elif kind == "zero":
            content[at : at + 20] = bytes(len(content[at : at + 20]))
        elif kind == "replace":
            content = bytearray(data.draw(st.binary(max_size=30)))
    return bytes(content)


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    """Folder, and the files of a finished workdir with what reads them."""
    folder = tmp_path_factory.mktemp("files")
    weights = {"a": jnp.arange(6.0).reshape(2, 3), "b": {"c": jnp.ones(4)}}
    params.save(folder / "params.npz", weights)
    workdir.write_result(folder, {"score": 1.0, "interval": 0.1, "config": {}}, np.arange(5.0))
    workdir.append_line(folder / "metrics.jsonl", json.dumps({"step": 1, "loss": 0.5}))
    workdir.write_text(folder / "config.json", json.dumps(CONFIGS["sine"]))
    readers = {
        "params.npz": lambda: params.load(folder / "params.npz", weights),
        "result.json": lambda: workdir.read_result(folder),
        "test_scores.npy": lambda: workdir.read_scores(folder),
        "metrics.jsonl": lambda: workdir.read_metrics(folder),
        "config.json": lambda: workdir.read_config(folder),
    }
    return folder, {name: ((folder / name).read_bytes(), reader) for name, reader in readers.items()}


@pytest.mark.parametrize("examples", [200, pytest.param(5000, marks=pytest.mark.slow)])
def test_damaged_files_of_a_workdir(whole_files, examples):
    folder, files = whole_files

    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(st.sampled_from(sorted(files)), st.data())
    def try_one(name, data):
        content, reader = files[name]
        (folder / name).write_bytes(damage(content, data))
        try:
            value_error_or(reader)
        finally:
            (folder / name).write_bytes(content)

    try_one()


def test_folders_of_odd_files(tmp_path):
    """Files that cannot be read as images, links to nowhere and to themselves, names that are no text."""
    (tmp_path / "a").mkdir()
    os.symlink(tmp_path / "nowhere", tmp_path / "a" / "gone.png")
    os.symlink(tmp_path / "a", tmp_path / "a" / "loop")
    (tmp_path / "a" / "folder.png").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / os.fsdecode(b"\xff\xfe.png")).write_bytes(b"")
    os.mkfifo(tmp_path / "b" / "pipe.png")
    with pytest.raises(ValueError, match="a: class folder has no images"):
        oplstm_jax.data.load(tmp_path)
