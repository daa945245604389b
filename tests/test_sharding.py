"""Several devices, several processes, several seeds: the results of one."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from processes import OPTIMISED
from test_train import small_config

from experiments.run import run_config, run_seeds
from oplstm_jax import runs
from oplstm_jax.meta import MetaState
from oplstm_jax.records import RESULT, read_metrics
from oplstm_jax.signals import Interrupted
from oplstm_jax.workdir import Workdir

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("chosen", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_on_four_devices(chosen):
    environment = {**os.environ, "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", chosen]
    words.append(str(ROOT / "tests" / "four_devices.py"))
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_seeds_trained_together_are_the_runs_they_would_be_alone(tmp_path):
    config = small_config(num_seeds=2, seed=5)
    together = run_seeds(config, tmp_path / "together")
    for seed, result in zip((5, 6), together, strict=True):
        alone = run_config(small_config(seed=seed), tmp_path / str(seed))
        assert (alone["config"], alone["best_step"]) == (result["config"], result["best_step"])
        assert (alone["trained_together"], result["trained_together"]) == (1, 2)
        folders = tmp_path / str(seed), tmp_path / "together" / f"seed{seed}"
        mine, other = (dict(np.load(folder / "params.npz")) for folder in folders)
        for name, array in mine.items():
            np.testing.assert_allclose(other[name], array, atol=1e-5, err_msg=name)
        losses = [[line["loss"] for line in read_metrics(folder)] for folder in folders]
        np.testing.assert_allclose(*losses, rtol=1e-4)
        assert result["score"] == pytest.approx(alone["score"], rel=1e-3)


@pytest.mark.slow
def test_seeds_together_go_on_from_the_newest_step_they_all_have(tmp_path, monkeypatch):
    whole = run_seeds(small_config(num_seeds=2), tmp_path / "whole")
    log = Workdir.log

    def stop_at(step):
        def interrupting_log(self, line):
            log(self, line)
            if line["step"] == step:
                signal.raise_signal(signal.SIGTERM)

        return interrupting_log

    for step in (15, 25):
        with monkeypatch.context() as patch, pytest.raises(Interrupted):
            patch.setattr(Workdir, "log", stop_at(step))
            run_seeds(small_config(num_seeds=2), tmp_path / "stopped")
    newest = tmp_path / "stopped" / "seed1" / "checkpoints" / "25"
    assert newest.is_dir()
    shutil.rmtree(newest)
    resumed = run_seeds(small_config(num_seeds=2), tmp_path / "stopped")
    assert [r["params_sha256"] for r in resumed] == [r["params_sha256"] for r in whole]
    for seed in ("seed0", "seed1"):
        losses = [[line["loss"] for line in read_metrics(tmp_path / name / seed)] for name in ("stopped", "whole")]
        assert losses[0] == losses[1]


def test_only_seeds_that_are_not_finished_are_trained(tmp_path, monkeypatch):
    trained = []

    def train_seeds(problem, settings, folders):
        trained.append((settings.seed, len(folders)))
        return [None] * len(folders)

    def finish(problem, outcome, folder, facts):
        result = {**dict.fromkeys(RESULT, 0), **facts}
        (folder.path / "result.json").write_text(json.dumps(result))
        return result

    monkeypatch.setattr("experiments.run.train_seeds", train_seeds)
    monkeypatch.setattr("experiments.run.finish", finish)
    run_seeds(small_config(num_seeds=2, seed=1), tmp_path)
    results = run_seeds(small_config(num_seeds=5), tmp_path)
    assert trained == [(1, 2), (0, 1), (3, 2)]
    assert [result["seed"] for result in results] == [0, 1, 2, 3, 4]
    assert [result["trained_together"] for result in results] == [1, 2, 2, 2, 2]


def _opened(*folders):
    """New runs in these folders, and a state that they may save."""
    workdirs = [Workdir(folder, {}) for folder in folders]
    for workdir in workdirs:
        workdir.close()
    return runs.opened(workdirs), MetaState(jnp.int32(0), {"w": jnp.ones(2)}, ())


def test_a_run_that_has_begun_is_not_taken_back_for_a_seed_that_has_not(tmp_path):
    opened, state = _opened(tmp_path / "old", tmp_path / "new")
    with opened as files:
        for step in (10, 20):
            runs.save(files[:1], [state], step, 1.0, [0.5])
        with pytest.raises(ValueError, match="old: other seeds have not begun: finish this one without them first"):
            runs.restored(files, [state, state])
        assert len(files[0].checkpoints.steps()) == 2
        files[0].checkpoints.latest(runs._tree(runs.Saved(state, 0.0)), up_to=10)
        runs.restored(files, [state, state])  # killed while the first checkpoints were saved
        assert files[0].checkpoints.steps() == []


def test_nothing_is_saved_before_all_have_what_was_saved_last():
    calls = []

    class Recorder:
        def __init__(self, name):
            self.wait = lambda: calls.append(f"{name} waits")
            self.save = lambda *about: calls.append(f"{name} saves")

    state = MetaState(jnp.int32(0), {}, ())
    runs.save([runs.Run(None, Recorder(name)) for name in "ab"], [state, state], 1, 1.0, [None, None])
    assert calls == ["a waits", "b waits", "a saves", "b saves"]


def test_runs_that_have_no_step_in_common_keep_all_they_have(tmp_path):
    opened, state = _opened(tmp_path / "far", tmp_path / "near")
    with opened as files:
        for file, steps in zip(files, ((90, 100), (30, 40)), strict=True):
            for step in steps:
                runs.save([file], [state], step, 1.0, [0.5])
        with pytest.raises(ValueError, match="no step is saved of it and of the other seeds too: finish each without"):
            runs.restored(files, [state, state])
        assert [file.checkpoints.steps() for file in files] == [[90, 100], [30, 40]]


def test_a_folder_of_one_run_takes_no_seeds_and_one_of_seeds_no_run(tmp_path):
    for folder, held in (("one", "config.json"), ("several", "seed0"), ("other", "thesis.tex")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / held).touch()
    with pytest.raises(ValueError, match="holds a run of one seed: expected another folder for 2"):
        run_seeds(small_config(num_seeds=2), tmp_path / "one")
    for folder, held in (("several", "seed0"), ("other", "thesis.tex")):
        with pytest.raises(ValueError, match=f"holds {held} and no run: expected a new or empty folder"):
            run_config(small_config(), tmp_path / folder)
        assert [file.name for file in (tmp_path / folder).iterdir() if file.name != ".lock"] == [held]


SMALL = (
    "train_tasks=80 validate_every=40 log_every=20 meta_batch=4 validation_tasks=10 test_tasks=10 options.sizes=(8,8)"
).split()


def _processes(workdir, count):
    """A small run on four devices by so many processes, which must all end well; what they print."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "experiments.train", "--config=experiments/configs/sine.py:pi_lstm"]
    words += [f"--workdir={workdir}", *(f"--config.{change}" for change in SMALL)]
    environment = {**OPTIMISED, "XLA_FLAGS": f"--xla_force_host_platform_device_count={4 // count}"}
    numbers = [f"--distributed=localhost:{port},{count},{number}" for number in range(count)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([*words, number], cwd=ROOT, env=environment, **pipes) for number in numbers]
    texts = [process.communicate(timeout=240) for process in started]
    assert [process.returncode for process in started] == [0] * count, texts
    return [printed for printed, _ in texts]


@pytest.mark.slow
def test_two_processes_are_one_and_go_on_together(tmp_path):
    printed, other = _processes(tmp_path / "two", 2)
    assert "pi_lstm: test mse" in printed and "test mse" not in other
    _processes(tmp_path / "one", 1)
    losses = [[line["loss"] for line in read_metrics(tmp_path / name)] for name in ("two", "one")]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    scores = [np.load(tmp_path / name / "test_scores.npy") for name in ("two", "one")]
    np.testing.assert_allclose(*scores, rtol=1e-3)

    (tmp_path / "two" / "result.json").unlink()  # as if killed after the first validation, with a line too many
    shutil.rmtree(tmp_path / "two" / "checkpoints" / "20")
    _processes(tmp_path / "two", 2)
    assert [line["loss"] for line in read_metrics(tmp_path / "two")] == losses[0]
    assert (tmp_path / "two" / "result.json").exists()
