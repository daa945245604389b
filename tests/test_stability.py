"""When runs leave chance is read off their metrics, and seeds of one configuration are one line."""

import json

import pytest
from processes import ROOT

from oplstm_jax.analysis.stability import Course, course, share_left


def _lines(*scores):
    validations = [{"tasks": 100 * number, "validation_score": score} for number, score in enumerate(scores, 1)]
    return [*validations, {"tasks": 999}]


def test_the_course_of_a_run():
    assert course(_lines(4.2, 4.1, 2.0, 0.5, 0.3, 0.4), "mse", 4.25) == Course(300, 400, 600, 0.3)
    found = course(_lines(0.2, 0.205, 0.5, 0.9), "accuracy", 0.2)
    assert found[:3] == (300, 400, 400) and found.best == pytest.approx(0.1)


def test_a_run_at_chance_never_leaves_it():
    assert course(_lines(0.2, 0.19, 0.208), "accuracy", 0.2)[:3] == (None, None, 300)


def test_a_run_without_validation_has_no_course():
    with pytest.raises(ValueError, match="no validation score"):
        course([{"tasks": 100}], "mse", 1.0)


@pytest.mark.parametrize(("left", "expected"), [(0, (0.0, 0.4345)), (3, (0.2307, 0.8821)), (5, (0.5655, 1.0))])
def test_intervals_of_shares_are_wilsons(left, expected):
    runs = [Course(100, 200, 300, 0.1)] * left + [Course(None, None, 300, 0.8)] * (5 - left)
    share, interval = share_left(runs)
    assert share == left / 5
    assert interval == pytest.approx(expected, abs=1e-3)


def test_seeds_of_a_configuration_are_one_line(commands, tmp_path):
    done = commands("experiments.stability", f"--to={tmp_path}", ROOT / "results/sine/runs")
    assert done.code == 0, done.stderr
    rows = {row[0]: row for row in json.loads((tmp_path / "table.json").read_text())["rows"]}
    assert rows["sine, none, 5-shot, plain LSTM (mean-pooled)"][1:5] == [3, 1.0, "0.44 to 1.00", "2500 2500 2500"]
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_runs_is_refused(commands, tmp_path):
    done = commands("experiments.stability", f"--to={tmp_path / 'to'}", str(tmp_path))
    assert done.code == 2 and f"no validated runs in {tmp_path}: expected" in done.output
    assert not (tmp_path / "to").exists()
