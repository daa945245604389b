"""Finished runs are compared over seeds and on the tasks they share, and only where that means something."""

import json

import numpy as np
import pytest
from processes import ROOT
from scipy import stats

from oplstm_jax.comparison import cells, row
from oplstm_jax.report import Cell, check_seeds, summarise
from oplstm_jax.statistics import estimate, paired, welch

KEPT = ROOT / "results"
SINE = KEPT / "sine" / "runs"


def _runs(folder, name, scores, **facts):
    """Folders of finished runs, as far as they are read: seed0, ... with the rows of scores [seeds, n]."""
    for seed, own in enumerate(scores):
        run = folder / f"{name}-seed{seed}"
        run.mkdir(parents=True)
        result = {"score": float(np.mean(own)), "interval": 0.1, "config": {}, "metric": "mse", "params_sha256": ""}
        (run / "result.json").write_text(json.dumps({**result, **facts}))
        np.save(run / "test_scores.npy", np.asarray(own, np.float32))


def test_welch_is_that_of_scipy():
    rng = np.random.default_rng(0)
    first, second = rng.normal(1, 0.3, 5), rng.normal(1.4, 0.1, 3)
    ours, theirs = welch(estimate(first), estimate(second)), stats.ttest_ind(second, first, equal_var=False)
    np.testing.assert_allclose(ours.p, theirs.pvalue)
    low, high = theirs.confidence_interval()
    np.testing.assert_allclose((ours.difference - ours.interval, ours.difference + ours.interval), (low, high))


def test_welch_of_runs_that_are_all_the_same():
    same, other = estimate([0.5, 0.5]), estimate([0.6, 0.6])
    assert welch(same, same)[:3] == (0, 0, 1) and welch(same, other).p == 0
    with pytest.raises(ValueError, match="1 and 2 runs: expected two or more"):
        welch(estimate([0.5]), same)


def test_what_tasks_share_is_no_part_of_a_paired_difference():
    rng = np.random.default_rng(1)
    tasks = rng.normal(0, 5, 400)
    first, second = ([tasks + shift + rng.normal(0, 0.1, 400) for _ in range(3)] for shift in (0, 0.2))
    found = paired(first, second)
    assert abs(found.mean - 0.2) < 0.02 and found.interval < 0.01
    with pytest.raises(ValueError, match="400 and of 401 tasks"):
        paired(first, [np.zeros(401)])


def test_cells_are_compared_by_name_in_the_order_of_shots(commands, tmp_path):
    rng = np.random.default_rng(2)
    for side, shift in (("a", 0.0), ("b", 1.0)):
        for shot in (10, 5):
            _runs(tmp_path / side, f"maml-{shot}shot", rng.normal(shift, 0.1, (3, 50)), task_list="same")
    _runs(tmp_path / "a", "lstm-5shot", np.zeros((2, 50)))
    done = commands("experiments.compare", tmp_path / "a", tmp_path / "b", f"--to={tmp_path / 'to'}")
    assert done.code == 0, done.stderr
    table = json.loads((tmp_path / "to" / "table.json").read_text())
    assert [line[0] for line in table["rows"]] == ["maml-5shot", "maml-10shot"]
    _, metric, seeds, first, second, difference, p, same = table["rows"][0]
    assert (metric, seeds) == ("mse", "3 and 3") and p < 0.01
    np.testing.assert_allclose(difference["mean"], second["mean"] - first["mean"])
    np.testing.assert_allclose(same["mean"], difference["mean"], rtol=1e-5)


def test_two_cells_of_other_names_are_compared(commands):
    done = commands("experiments.compare", *(str(SINE / name) for name in ("maml-20shot", "op_lstm-20shot")))
    assert done.code == 0, done.output
    assert "| maml-20shot, op_lstm-20shot | mse | 3 and 3 | 0.00627 " in done.output


@pytest.mark.parametrize(("lists", "known"), [(("x", "x"), True), (("x", "y"), False), ((None, None), False)])
def test_tasks_are_paired_where_results_name_the_same_list(tmp_path, lists, known):
    for side, digest in zip("ab", lists, strict=True):
        _runs(tmp_path / side, "lstm-5shot", np.ones((1, 9)), **({"task_list": digest} if digest else {}))
    first, second = (cells(tmp_path / side)["lstm-5shot"] for side in "ab")
    *_, over, p, same = row("lstm-5shot", first, second)
    assert over is p is None  # single seeds
    assert (same is not None) == known


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["sine/runs"], "1 folders or cells: expected two"),
        (["sine/runs/gpt-5shot", "sine/runs"], "runs/gpt-5shot: no finished runs there: expected folders NAME-seed0"),
        (["sine/runs/maml-5shot", "omniglot/runs/maml-5shot"], "maml-5shot: accuracy and mse do not compare"),
        (["sine/runs/maml-20shot", "omniglot/runs"], "no cell is in both: maml-20shot and "),
    ],
)
def test_what_cannot_be_compared_is_refused_and_nothing_written(commands, tmp_path, names, message):
    done = commands("experiments.compare", *(str(KEPT / name) for name in names), f"--to={tmp_path / 'to'}")
    assert done.code == 2 and message in done.output and done.output.count("\n") == 1
    assert not (tmp_path / "to").exists()


def test_runs_that_differ_in_more_than_their_seeds_are_no_cell(tmp_path):
    for seed, rate in enumerate((0.1, 0.5)):
        config = {"seed": seed, "log_every": seed, "data": f"here/{seed}", "learning_rate": rate}
        _runs(tmp_path / str(seed), "maml-5shot", np.zeros((1, 5)), seed=seed, config=config, task_list="same")
    options = {"average_cells": False}, {"pool": "hidden"}
    check_seeds("one in an older configuration", [{"config": {"options": option}} for option in options])
    with pytest.raises(ValueError, match="optimiser is 'adam' and 'muon'"):
        check_seeds("a field of later", [{"config": {}}, {"config": {"optimiser": "muon"}}])
    with pytest.raises(ValueError, match="task_list is 'a' and 'b'"):
        check_seeds("one name of other images", [{"config": {"data": "mine"}, "task_list": tasks} for tasks in "ab"])
    (tmp_path / "1" / "maml-5shot-seed0").rename(tmp_path / "0" / "maml-5shot-seed1")
    words = "maml-5shot: seeds 0 and 1: learning_rate is 0.1 and 0.5: expected runs that differ in their seeds alone"
    with pytest.raises(ValueError, match=words):
        cells(tmp_path / "0")
    with pytest.raises(ValueError, match="learning_rate is 0.1 and 0.5"):
        summarise(Cell("maml", 5, {seed: tmp_path / "0" / f"maml-5shot-seed{seed}" for seed in (0, 1)}, None))
