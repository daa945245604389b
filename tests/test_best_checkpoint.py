"""The best checkpoint is damaged or gone while newer ones are whole: said at once, and never replaced in silence."""

import contextlib
import logging
import shutil

import numpy as np
import pytest
from tiny import SETTINGS, line_problem, run

from experiments.run import describe
from oplstm_jax import params
from oplstm_jax.records import read_metrics
from oplstm_jax.train import finish
from oplstm_jax.workdir import Workdir

OVERSHOOTS = {"learning_rate": 3.0}  # so that a validation in the middle is the best
ABOUT = {"learner": "line", "norm": "none", "test_query": 4, "seed": 0}


@pytest.fixture
def trained(tmp_path):
    """(folder, best step, second best of the steps that are kept, the outcome) of a run up to its test."""
    tested = run(tmp_path / "run", **OVERSHOOTS)
    lines = [line for line in read_metrics(tmp_path / "run") if "validation_score" in line]
    scores = {line["step"]: line["validation_score"] for line in lines}
    kept = sorted((int(path.name) for path in (tmp_path / "run/checkpoints").iterdir()), key=scores.get)
    assert kept[0] == min(scores, key=scores.get) == tested.best_step < max(scores) and len(kept) == 3
    return tmp_path / "run", *kept[:2], tested


def spoil(folder, step):
    for file in (folder / "checkpoints" / str(step) / "default").rglob("*"):
        if file.is_file():
            file.write_bytes(bytes(len(file.read_bytes())))


def test_a_damaged_one_is_named_at_the_start_and_ends_the_run(trained, caplog):
    folder, best, second, _ = trained
    before = read_metrics(folder)
    spoil(folder, best)
    start = f"the best checkpoint {folder}/checkpoints/{best} cannot be read: "
    end = f"; move its folder away to test step {second} instead, or remove the workdir to train again"
    with pytest.raises(ValueError, match=f"^{start}.*{end}$"):
        run(folder, **OVERSHOOTS)
    assert f"checkpoints/{best} cannot be read" in caplog.messages[0]
    assert read_metrics(folder) == before
    assert {path.name for path in (folder / "checkpoints").iterdir()} > {str(second)}


def test_a_signal_while_one_is_read_is_no_damage(trained, caplog, monkeypatch):
    """Orbax wraps what comes while it reads in an error of its own."""
    folder, *_ = trained
    before = sorted((folder / "checkpoints").iterdir())

    def wrapped(*_):
        raise RuntimeError("while reading array index") from KeyboardInterrupt(15)

    monkeypatch.setattr("oplstm_jax.seals.check_seal", wrapped)
    with pytest.raises(KeyboardInterrupt) as stop:
        run(folder, **OVERSHOOTS)
    assert stop.value.args == (15,) and not caplog.messages
    assert sorted((folder / "checkpoints").iterdir()) == before


def test_of_what_is_left_the_best_is_tested_and_the_result_says_so(trained, caplog):
    folder, best, second, tested = trained
    scores = {line["step"]: line.get("validation_score") for line in read_metrics(folder)}
    shutil.rmtree(folder / "checkpoints" / str(best))
    with caplog.at_level(logging.WARNING):
        after = run(folder, **OVERSHOOTS)
    (warning,) = caplog.messages
    assert warning == f"checkpoint {folder}/checkpoints/{best}, the best, is gone; the best of those left is {second}"
    assert (after.best_step, after.validation_score) == (second, scores[second])
    assert params.sha256(after.params) != params.sha256(tested.params)
    assert not np.array_equal(after.scores, tested.scores)
    outcomes = {}
    for name, found in (("whole", tested), ("after", after)):
        workdir = Workdir(folder, SETTINGS._replace(**OVERSHOOTS)._asdict())
        outcomes[name] = finish(line_problem(), found, workdir, ABOUT)
        workdir.close()
    assert "lost_best_step" not in outcomes["whole"] and outcomes["after"]["lost_best_step"] == best
    assert f"not of the best step {best}, which was lost" in describe(outcomes["after"])
    assert "lost" not in describe(outcomes["whole"])


def test_a_run_whose_metrics_are_gone_says_so(trained):
    folder, *_, tested = trained
    (folder / "metrics.jsonl").unlink()
    workdir = Workdir(folder, SETTINGS._replace(**OVERSHOOTS)._asdict())
    message = f"{folder}: metrics.jsonl tells of no validation"
    with contextlib.closing(workdir), pytest.raises(ValueError, match=message):
        finish(line_problem(), tested, workdir, {})
    assert not (folder / "result.json").exists()
