"""Orders of a support set: no spread where a learner ignores them, and where it does not, parts that add up."""

import json

import jax
import numpy as np
import pytest
from learner_table import waves
from processes import ROOT

from oplstm_jax import zoo
from oplstm_jax.analysis.orderings import make_orderings
from oplstm_jax.losses import mean_squared_error


def _measured(name, count=8):
    learner, params = zoo.load(name)
    return jax.jit(make_orderings(learner, mean_squared_error, count, True))(params, waves(jax.random.key(3)))


def test_order_is_a_part_of_the_error_of_the_sequential_lstm():
    found = _measured("sine-5shot-lstm")
    assert found.score_spread > 1e-4 and found.worst > found.score > found.ensemble_score
    np.testing.assert_allclose(found.score - found.ensemble_score, found.prediction_spread**2, rtol=1e-3)
    np.testing.assert_allclose(found.order_share, found.prediction_spread**2 / found.score, rtol=1e-3)


def test_what_is_pooled_has_no_order():
    found = _measured("sine-5shot-pi_lstm")
    assert found.prediction_spread < 1e-5 and found.order_share < 1e-5
    np.testing.assert_allclose((found.worst, found.ensemble_score), found.score, rtol=1e-4)


def test_one_order_has_no_spread():
    with pytest.raises(ValueError, match="count is 1: expected 2 orders or more"):
        make_orderings(zoo.load("sine-5shot-lstm").learner, mean_squared_error, 1, True)


@pytest.mark.slow
def test_the_command_measures_entries_and_runs(commands, tmp_path):
    run = ROOT / "results/sine/runs/lstm-5shot-seed0"
    words = [f"--to={tmp_path}", "--entries=sine-5shot-pi_lstm", f"--workdirs={run}", "--tasks=3", "--orders=3"]
    done = commands("experiments.orderings", *words)
    assert done.code == 0, done.stderr
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [row[0] for row in rows] == ["sine-5shot-pi_lstm", "runs/lstm-5shot-seed0"]
    assert rows[0][2]["mean"] < 1e-5 < rows[1][2]["mean"]
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
