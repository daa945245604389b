"""Similarity of updates is 1 where OP-LSTM is gradient descent or a prototype classifier; runs log it as they train."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from processes import small_images

from experiments.run import run_config
from experiments.similarity import METRICS, measure_run
from experiments.table_figures import updates as draw_updates
from oplstm_jax.analysis.updates import gradient_update, make_similarity, prototype_kernel
from oplstm_jax.learners.op_lstm_head import op_lstm_head
from oplstm_jax.learners.protonet import protonet
from oplstm_jax.learners.rules import fixed_rule
from oplstm_jax.records import read_metrics
from oplstm_jax.report import Cell
from oplstm_jax.types import Episode, Split

GRADIENT = fixed_rule(lambda target, prediction: target - jax.nn.softmax(prediction, -1))


@pytest.fixture
def episode():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 4)).astype("float32"), np.eye(3, dtype="float32")[[0, 1, 2, 2, 1, 0]]
    return Episode(
        Split(jnp.asarray(x), jnp.asarray(y)), Split(jnp.asarray(x[::-1].copy()), jnp.asarray(y[::-1].copy()))
    )


@pytest.mark.parametrize(("passes", "step"), [(1, 1.0), (4, 1.0), (4, 0.25)])
def test_a_rule_that_is_gradient_descent_has_cosine_one(episode, passes, step):
    learner = op_lstm_head(None, passes, GRADIENT, gamma=None)
    params = learner.init(jax.random.key(0), episode)
    found = make_similarity(learner, None, passes, step)(params, episode)
    if step == 1:
        np.testing.assert_allclose(found[:2], 1, rtol=1e-5)
    else:
        assert 0.9 < found.gradient_cosine < 1 and found.gradient_ratio > 2
    assert found.prototype_cosine < 0.999


def test_gradient_descent_against_autodiff_step_by_step(episode):
    kernel, bias = jax.random.normal(jax.random.key(1), (4, 3)), jnp.zeros(1)
    a, y = episode.support
    here = kernel
    for _ in range(3):
        here = here - 0.3 * a.T @ (jax.nn.softmax(a @ here) - y) / len(a)
    np.testing.assert_allclose(gradient_update(kernel, bias, a, y, 3, 0.3), here - kernel, rtol=1e-4, atol=1e-6)


def test_prototypes_as_weights_classify_as_protonet_does(episode):
    learner = op_lstm_head(None, 0, GRADIENT, gamma=None)
    kernel = prototype_kernel(*episode.support)
    params = {**learner.init(jax.random.key(0), episode), "kernel": 3 * kernel}
    found = make_similarity(learner, None, 0, 1.0)(params, episode)
    np.testing.assert_allclose((found.prototype_cosine, found.prototype_ratio), (1, 3), rtol=1e-5)
    np.testing.assert_array_equal(found[:2], 0)  # no update at all
    prototypes = protonet(None)
    fast, _ = prototypes.adapt({}, episode.support)
    logits = episode.query.x @ kernel - jnp.sum(fast["prototypes"] ** 2, 1)[None]
    ours, theirs = (jax.nn.softmax(outputs) for outputs in (logits, prototypes.predict({}, fast, episode.query.x)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_runs_log_similarity_at_validations_and_are_measured_when_they_are_done(tmp_path):
    run_config(small_images("op_lstm_head,passes=1", tmp_path), tmp_path / "run", gradient_step=0.4)
    lines = read_metrics(tmp_path / "run")
    assert [("gradient_cosine" in line) for line in lines] == [("validation_score" in line) for line in lines]
    measured = [line for line in lines if "gradient_cosine" in line]
    assert len(measured) == 2 and all(-1 <= line["gradient_cosine"] <= 1 for line in measured)
    assert all(line["gradient_ratio"] > 0 < line["prototype_cosine_interval"] for line in measured)
    found = measure_run(tmp_path / "run", 0.4)
    assert {name: result["metric"] for name, (result, _) in found.items()} == METRICS
    draw_updates(tmp_path, [Cell("op_lstm_head", 1, {0: tmp_path / "run", 1: tmp_path / "missing"}, None, "small, x")])
    assert (tmp_path / "updates.png").read_bytes().startswith(b"\x89PNG")
    for result, values in found.values():
        assert values.shape == (10,) and result["score"] == pytest.approx(values.mean(), rel=1e-6)
