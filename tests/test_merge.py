"""Folders filled on different machines become one; what conflicts is refused, and then nothing is copied."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from processes import ROOT

from experiments.merge import merge
from oplstm_jax.files import write_text
from oplstm_jax.records import read_config, read_result
from oplstm_jax.trained import score_trained
from oplstm_jax.workdir import InUse, Workdir

RUN = "pi_lstm-5shot-seed0"


@pytest.fixture
def copy(tmp_path):
    """A function that makes a folder with one finished run, called as it says."""

    def copied(root, run=RUN):
        shutil.copytree(ROOT / "results/sine/runs" / RUN, tmp_path / root / run)
        return tmp_path / root

    return copied


def test_runs_of_two_machines_come_together_with_their_tests(commands, copy, tmp_path):
    first, second = copy("first", "a-5shot-seed0"), copy("second", "part/b-5shot-seed0")
    shutil.copytree(
        first / "a-5shot-seed0", first / "a-5shot-seed0" / "k_queries", ignore=lambda *_: ["checkpoints", "config.json"]
    )
    done = commands("experiments.merge", f"--workdir={tmp_path / 'target'}", first, second)
    assert done.stdout == f"2 runs copied to {tmp_path / 'target'}, 0 kept as they were\n", done.stderr
    for name in ("a-5shot-seed0", "a-5shot-seed0/k_queries", "part/b-5shot-seed0"):
        assert read_result(tmp_path / "target" / name) is not None
    again = merge(tmp_path / "target", [second, first])
    assert again == f"0 runs copied to {tmp_path / 'target'}, 2 kept as they were"
    assert sorted(path.name for path in (tmp_path / "target").iterdir()) == ["a-5shot-seed0", "part"]


def test_the_finished_run_replaces_the_unfinished_and_not_the_other_way(copy, tmp_path):
    target, source = copy("target"), copy("source")
    (target / RUN / "result.json").unlink()
    assert "1 runs copied" in merge(target, [source])
    assert read_result(target / RUN) == read_result(source / RUN)
    (source / RUN / "result.json").unlink()
    assert "0 runs copied" in merge(target, [source])
    assert read_result(target / RUN) is not None


def test_of_unfinished_runs_the_further_one_is_kept(copy):
    target, source = copy("target"), copy("source")
    for root in (target, source):
        (root / RUN / "result.json").unlink()
    lines = (target / RUN / "metrics.jsonl").read_text().splitlines(keepends=True)
    (target / RUN / "metrics.jsonl").write_text("".join(lines[:1]))
    assert "1 runs copied" in merge(target, [source])
    assert (target / RUN / "metrics.jsonl").read_text() == "".join(lines)
    assert "0 runs copied" in merge(target, [source])


def _other_result(run):
    result = {**read_result(run), "score": 0.125, "params_sha256": "0"}
    write_text(run / "result.json", json.dumps(result))


def _other_scores(run):
    np.save(run / "test_scores.npy", np.load(run / "test_scores.npy") + 1)


def _other_config(run):
    write_text(run / "config.json", json.dumps({**read_config(run), "learning_rate": 1.0}))


@pytest.mark.parametrize("change", [_other_result, _other_scores, _other_config])
def test_conflicts_are_refused_and_nothing_is_copied(copy, change):
    target, source = copy("target"), copy("source")
    copy("source", "another-5shot-seed0")
    change(source / RUN)
    with pytest.raises(ValueError, match=f"^conflict: {source / RUN}.*{target / RUN}"):
        merge(target, [source])
    assert [path.name for path in target.iterdir()] == [RUN]


def test_a_result_that_lacks_something_is_named(copy):
    target, source = copy("target"), copy("source")
    result = read_result(source / RUN)
    del result["params_sha256"]
    write_text(source / RUN / "result.json", json.dumps(result))
    with pytest.raises(ValueError, match="result.json: damaged: expected an object with .*params_sha256"):
        merge(target, [source])


def test_a_run_at_work_is_not_taken(copy, tmp_path):
    source = copy("source")
    at_work = Workdir(source / RUN, read_config(source / RUN))
    with pytest.raises(InUse, match="in use by another process"):
        merge(tmp_path / "target", [source])
    at_work.close()
    assert not list((tmp_path / "target").iterdir())


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_an_interrupt_leaves_the_old_run_or_the_new_one(copy, renames, monkeypatch):
    target, source = copy("target"), copy("source")
    (target / RUN / "result.json").unlink()
    done, rename = [], Path.rename

    def interrupted(path, to):
        if len(done) == renames:
            done.append(path)
            raise KeyboardInterrupt
        done.append(path)
        rename(path, to)
        if renames == 2 == len(done):
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        merge(target, [source])
    assert read_config(target / RUN) == read_config(source / RUN)
    assert (read_result(target / RUN) is not None) == (renames == 2)
    assert [path.name for path in target.iterdir()] == [RUN]


@pytest.mark.parametrize("words", [[], ["nowhere"]])
def test_bad_sources_are_refused(commands, words, tmp_path):
    done = commands("experiments.merge", f"--workdir={tmp_path / 'target'}", *words)
    assert done.code == 2 and done.output.count("\n") == 1
    assert ("nowhere: no runs there" if words else "no folder to merge from given") in done.output
    assert not (tmp_path / "target").exists()


def test_scores_that_cannot_be_read_are_named(copy):
    target, source = copy("target"), copy("source")
    (source / RUN / "test_scores.npy").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="source/.*/test_scores.npy: cannot be read as scores"):
        merge(target, [source])


@pytest.mark.parametrize("inner", ["inner", "."])
def test_folders_inside_one_another_are_refused(copy, inner):
    source = copy("source")
    for target, taken in ((source / inner, source), (source, source / RUN)):
        with pytest.raises(ValueError, match="is the folder to merge into, .*, or one is inside the other"):
            merge(target, [taken])
    assert [path.name for path in source.iterdir()] == [RUN]


def test_what_cannot_be_copied_says_why_in_one_line(copy, tmp_path, monkeypatch):
    def full(source, target, **_):
        raise OSError(28, "No space left on device", str(target))

    source = copy("source")
    monkeypatch.setattr(shutil, "copy2", full)
    monkeypatch.setattr(shutil.copytree, "__defaults__", (False, None, full, False, False))
    with pytest.raises(OSError, match=f"target/{RUN}: cannot be copied from .*: .Errno 28. No space left") as caught:
        merge(tmp_path / "target", [source])
    assert len(str(caught.value)) < 500
    assert not list((tmp_path / "target").iterdir())


@pytest.mark.parametrize("text", ["{}", '{"learner": "maml", "data": "sine"}'])
def test_a_configuration_that_lacks_fields_is_none_of_an_experiment(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="config.json: no (learner|base): expected the configuration .*learner, base"):
        score_trained(tmp_path)
