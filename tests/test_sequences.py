"""Tasks that are sequences: what they are drawn from, what order is worth in them, and the learner that reads it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.configs import sequences as configs
from oplstm_jax import bases, build
from oplstm_jax.data import sequences
from oplstm_jax.learners.op_lstm import op_lstm
from oplstm_jax.learners.op_lstm_sequential import op_lstm_sequential
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.types import Episode, Split

FAMILIES = ("trajectory", "drift", "latest")
COUNT = 4_000


def _sampler(family, position=False):
    words = "latest,data=latest,way=4,shot=2" if family == "latest" else f"x,data={family},shot=8"
    config = configs.get_config(f"lstm,{words.partition(',')[2]},query=3,position={position}")
    return config, build.build_sampler(config, "train")


@pytest.mark.parametrize("family", FAMILIES)
def test_places_are_one_more_input_from_minus_one_to_one(family):
    config, sample = _sampler(family)
    plain, placed = (jax.jit(s)(jax.random.key(0)) for s in (sample, _sampler(family, True)[1]))
    (support, query), (with_place, asked) = plain, placed
    np.testing.assert_array_equal(with_place.x[:, :-1], support.x)
    np.testing.assert_allclose(with_place.x[:, -1], np.linspace(-1, 1, 8), atol=1e-6)
    np.testing.assert_array_equal(asked.x[:, -1], 1)
    np.testing.assert_array_equal(asked.x[:, :-1], query.x)
    assert support.y.shape[1] == query.y.shape[1] == bases.outputs(config)


def test_a_trajectory_is_one_system_that_queries_obey():
    support, query = sequences.sample_trajectory(jax.random.key(3), 8, 5)
    np.testing.assert_array_equal(support.x[1:], support.y[:-1])
    design = np.concatenate([support.x, np.ones((8, 1))], axis=1)
    system, *_ = np.linalg.lstsq(design, support.y, rcond=None)
    np.testing.assert_allclose(np.concatenate([query.x, np.ones((5, 1))], axis=1) @ system, query.y, atol=1e-4)
    radius = np.sqrt(np.linalg.det(system[:2]))
    assert sequences.RADII[0] <= radius <= sequences.RADII[1]


def test_a_drift_ends_where_its_queries_are_asked():
    support, query = sequences.sample_drift(jax.random.key(4), 8, 5)
    slopes, end = np.ravel(support.y / support.x), np.ravel(query.y / query.x)
    np.testing.assert_allclose(np.diff(slopes), np.diff(slopes).mean(), atol=1e-4)
    np.testing.assert_allclose(end, slopes[-1], atol=1e-4)


def test_the_class_of_a_symbol_is_the_last_it_was_given():
    support, query = sequences.sample_latest(jax.random.key(5), 4, 2, 3)
    nearest = np.linalg.norm(support.x[None] - query.x[:, None], axis=-1).argsort(1)[:, :2]  # both events of the symbol
    np.testing.assert_array_equal(support.y[nearest.max(1)], query.y)
    assert (support.y[nearest.max(1)] != support.y[nearest.min(1)]).any(1).all()


def _error_of_both_orders():
    """Mean squared error on drift of the mean of the answers for the sequence forwards and backwards."""
    query = jax.vmap(lambda k: sequences.sample_drift(k, 8, 1))(jax.random.split(jax.random.key(1), COUNT))
    slopes = query.support.y / query.support.x
    return np.square(np.mean(slopes[:, [0, -1], 0], 1) * query.query.x[:, 0, 0] - query.query.y[:, 0, 0])


def _correct_of_unordered_labels():
    """Accuracy on latest of the mean of the labels a symbol was given, by the nearest events."""
    tasks = jax.vmap(lambda k: sequences.sample_latest(k, 4, 2, 1))(jax.random.split(jax.random.key(2), COUNT))
    distance = np.linalg.norm(np.asarray(tasks.support.x)[:, None] - np.asarray(tasks.query.x)[:, :, None], axis=-1)
    events = distance.argsort(-1)[..., :2]
    labels = np.take_along_axis(np.asarray(tasks.support.y).argmax(-1)[:, None], events, -1).min(-1)
    return labels == np.asarray(tasks.query.y).argmax(-1)


@pytest.mark.parametrize(
    ("scores", "bound"), [(_error_of_both_orders, sequences.DRIFT_UNORDERED), (_correct_of_unordered_labels, 1 / 2)]
)
def test_what_ignores_order_reaches_its_bound(scores, bound):
    values = np.asarray(scores(), float)
    assert abs(values.mean() - bound) < 4 * values.std() / np.sqrt(values.size)


@pytest.mark.parametrize("family", FAMILIES)
def test_chance_is_the_score_of_knowing_nothing(family):
    config, sample = _sampler(family)
    y = np.asarray(jax.vmap(sample)(jax.random.split(jax.random.key(6), COUNT)).query.y)
    found = (y[..., 0] if family == "latest" else np.square(y).mean(-1)).mean(-1)  # of always answering class 0
    assert abs(found.mean() - build.chance(config)) < 4 * found.std() / np.sqrt(COUNT)


def test_updates_one_by_one_are_passes_over_single_examples(x64):
    net = MLP((6, 5), 2)
    x, y = jax.random.normal(jax.random.key(0), (3, 2)), jax.random.normal(jax.random.key(1), (3, 2))
    for biases, low_rank in ((False, True), (True, False)):
        one = op_lstm(net, 1, adapt_biases=biases)
        every = op_lstm_sequential(net, 2, adapt_biases=biases, low_rank=low_rank)
        params = jax.tree.map(jnp.float64, every.init(jax.random.key(2), Episode(Split(x, y), Split(x, y))))
        fast, info = jax.jit(every.adapt)(params, Split(x, y))
        assert info["updates"][0].shape == (2, 3, 2, 6) and info["outputs"].shape == (2, 3, 2)
        first, _ = jax.jit(one.adapt)(params, Split(x[:1], y[:1]))
        before = one.predict(params, first, x)  # the first update from a zero state
        np.testing.assert_allclose(info["outputs"][0, 1], before[1], rtol=1e-10)
        total = [jnp.sum(update, (0, 1)) for update in info["updates"]]
        kernels = {name: params["base"][name]["kernel"] for name in ("dense_0", "dense_1", "out")}
        moved = {n: {**params["base"][n], "kernel": k + t} for (n, k), t in zip(kernels.items(), total, strict=True)}
        if not biases:
            np.testing.assert_allclose(every.predict(params, fast, x), net.apply({"params": moved}, x), rtol=1e-10)


def test_one_example_has_no_batch_statistics():
    with pytest.raises(ValueError, match="norm is transductive: op_lstm_sequential sees one example at a time"):
        op_lstm_sequential(MLP((4,), 2, "transductive"), 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sine.py:pi_lstm,position=True"], "position is True, but the examples of sine have no place in time"),
        (["sequences.py:lstm,data=latest,way=2,shot=3"], "shot is 3, but a symbol's labels differ and there are 2"),
    ],
)
def test_impossible_sequences(commands, words, message, tmp_path):
    done = commands("experiments.train", f"--config=experiments/configs/{words[0]}", f"--workdir={tmp_path / 'run'}")
    assert done.code == 2 and message in done.stderr and done.stderr.count("\n") == 1
