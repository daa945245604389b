"""All tables in one command: finished runs are taken over, progress is shown, tables and the report are written."""

import dataclasses
import json
import shutil

import pytest
from processes import ROOT

from experiments.cells import runs
from experiments.plan import adopt, check_workers, progress_line, together
from experiments.run import run_config, run_together
from experiments.tables import make_table
from oplstm_jax.progress import clock
from oplstm_jax.records import read_result
from oplstm_jax.report import Cell, summarise
from oplstm_jax.workdir import InUse, lock

KEPT = ROOT / "results/sine/runs"


@pytest.fixture
def planned(tmp_path):
    """Runs of the sine table as they would be trained: 5-shot of the mean-pooled LSTM and MAML, two seeds each."""
    table = dataclasses.replace(make_table("sine", ()), learners=("pi_lstm", "maml"), shots=(5,))
    return list(runs(table, tmp_path / "runs", (0, 1), 1.0))


def test_a_finished_run_of_the_same_configuration_is_taken_over(planned):
    run = planned[0]
    assert adopt(run, [KEPT])
    assert run_config(run.config, run.folder) == read_result(KEPT / "pi_lstm-5shot-seed0")
    kept = json.loads((run.folder / "config.json").read_text())
    assert "filters" not in kept  # a configuration of before there was such a field
    assert not adopt(run, [KEPT])  # it has begun


def test_a_run_that_differs_is_not_taken_over(planned):
    run = planned[0]
    run.config.learning_rate = 1e-3
    assert not adopt(run, [KEPT]) and not run.folder.exists()
    compared = planned[1]._replace(gradient_step=0.1)  # its updates were never measured
    assert not adopt(compared, [KEPT])


def test_seeds_of_a_cell_are_trained_together(planned, tmp_path):
    groups = together(planned)
    assert [[run.config.seed for run in group] for group in groups] == [[0, 1], [0, 1]]
    assert [{run.config.learner for run in group} for group in groups] == [{"pi_lstm"}, {"maml"}]
    with pytest.raises(ValueError, match="only runs whose seeds follow one another"):
        run_together([run.config for run in planned], [tmp_path / str(number) for number in range(4)])
    assert not (tmp_path / "0").exists()


def test_progress_is_that_of_runs_like_those_left(planned):
    assert progress_line(planned) == "0/4 runs done"
    assert adopt(planned[0], [KEPT])
    seconds = read_result(planned[0].folder)["wall_seconds"]
    assert progress_line(planned) == f"1/4 runs done, {clock(3 * seconds)} left"
    assert adopt(planned[1], [KEPT])
    both = seconds + read_result(planned[1].folder)["wall_seconds"]
    assert progress_line(planned, workers=2) == f"2/4 runs done, {clock(both / 2)} left"
    elsewhere = planned[2]._replace(folder=planned[2].folder.parent.parent / "other" / "maml-5shot-seed0")
    assert progress_line([*planned[:2], elsewhere]) == "2/3 runs done"


def test_workers_that_failed_are_named_where_runs_are_left(planned, tmp_path):
    check_workers([0, 0], planned, tmp_path)  # they may have left runs to others
    with pytest.raises(ValueError, match=r"4 runs are not finished: see worker2.log in .*; the same command goes on"):
        check_workers([0, 1], planned, tmp_path)
    assert adopt(planned[0], [KEPT])
    check_workers([0, 1], planned[:1], tmp_path)


def test_two_processes_may_take_over_the_same_run(planned, tmp_path):
    source = shutil.copytree(KEPT / "pi_lstm-5shot-seed0", tmp_path / "kept" / "pi_lstm-5shot-seed0")
    (source / ".lock").touch()
    with lock(source, to_read=True):
        assert adopt(planned[0], [source.parent])
    with lock(source), pytest.raises(InUse):
        adopt(planned[0]._replace(folder=planned[0].folder.parent / "again" / planned[0].folder.name), [source.parent])


def test_time_of_seeds_trained_together_is_counted_once(planned):
    seeds = planned[::2]
    for run in seeds:
        assert adopt(run, [KEPT])
        result = json.loads((run.folder / "result.json").read_text())
        shared = result | {"wall_seconds": 120.0, "trained_together": 2}
        (run.folder / "result.json").write_text(json.dumps(shared))
    assert progress_line(planned) == "2/4 runs done, 2:00 left"
    cell = Cell("pi_lstm", 5, {seed: run.folder for seed, run in enumerate(seeds)}, None, metric="mse")
    assert summarise(cell)["wall_seconds"] == 120.0


@pytest.mark.parametrize("left_out", [["command", "commit"], ["data", "norm"]])
def test_results_that_do_not_say_what_a_table_does_are_named_with_what_they_lack(left_out, tmp_path):
    shutil.copytree(ROOT / "results/sine/runs/pi_lstm-5shot-seed0", tmp_path / "run")
    result = json.loads((tmp_path / "run/result.json").read_text())
    result["config"] = {name: value for name, value in result["config"].items() if name not in left_out}
    left = {name: value for name, value in result.items() if name not in left_out}
    (tmp_path / "run/result.json").write_text(json.dumps(left))
    with pytest.raises(ValueError, match="run/result.json: does not say .*: expected those fields in") as error:
        summarise(Cell("pi_lstm", 5, {0: tmp_path / "run"}, None, metric="mse"))
    assert all(name in str(error.value) for name in left_out)


def test_no_table_is_left_half_where_a_run_is_damaged(commands, tmp_path):
    run = tmp_path / "pi_lstm-5shot-seed0"
    shutil.copytree(ROOT / "results/sine/runs/pi_lstm-5shot-seed0", run)
    (run / "params.npz").write_text("junk")
    words = ["sine", "--learners=pi_lstm", "--shots=5", "--seeds=0", f"--workdir={tmp_path}", "--notrain"]
    done = commands("experiments.reproduce", *words)
    assert done.code == 2 and "params.npz: cannot read parameters" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [run.name]


def test_all_tables_and_the_report_are_written_by_one_command(commands, tmp_path):
    words = ["experiments.reproduce", "all", f"--workdir={tmp_path}", f"--reuse={KEPT}", "--seeds=0"]
    words += ["--learners=pi_lstm", "--shots=20"]  # only sine tables have 20
    done = commands(*words)
    assert done.code == 0, done.stderr
    assert "left out: within, cross" in done.stderr
    assert "[1/2 runs done] sine/pi_lstm-20shot-seed0 (copied)" in done.stderr
    assert "[2/2 runs done, 0:00 left] invariance_sine/pi_lstm-20shot-seed0 (copied)" in done.stderr
    assert "[2/2 runs done, 0:00 left]" in done.stderr
    assert done.stdout.endswith(f"2 tables -> {tmp_path / 'report.html'}\n")
    for name in ("sine", "invariance_sine"):
        table = json.loads((tmp_path / name / "table.json").read_text())
        assert (table["name"], table["fraction"], len(table["cells"])) == (name, 1, 1)
        assert all(
            (tmp_path / name / file).exists() for file in ("table.md", "table.csv", "table.tex", "learning_curves.png")
        )
    assert (tmp_path / "invariance_sine/shots.png").exists() and (tmp_path / "sine/fitted_waves.png").exists()
    page = (tmp_path / "report.html").read_text()
    assert "Permutation invariance on sine regression" in page and "Table not run: cross." in page


REFUSED = {
    "no such learner": (["all", "--learners=gpt"], "no table has these learners and shots"),
    "no such part": (["pooling", "--parts=hiden"], "unknown 'hiden': expected some of hidden, hidden_and_cell"),
    "parts of many tables": (["all", "--parts=tiny"], "flag --parts: all is more than one table; name one"),
    "no folder to reuse": (["sine", "--reuse=nowhere"], "flag --reuse: nowhere: no such folder"),
    "data that is not there": (["within", "--data=nosuchset"], "no data set, .npz file or folder 'nosuchset'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_before_anything_is_made(commands, case, tmp_path):
    words, expected = REFUSED[case]
    done = commands("experiments.reproduce", *words, f"--workdir={tmp_path / 'runs'}")
    assert done.code == 2, done.output
    assert done.output.splitlines()[-1].startswith("error: ") and expected in done.output
    assert not (tmp_path / "runs").exists()
