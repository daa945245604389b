"""Several devices, several processes, several seeds: the results of one."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import OPTIMISED
from test_train import small_config

from experiments.run import run_config, run_seeds
from oplstm_jax.signals import Interrupted
from oplstm_jax.workdir import Workdir, read_metrics

ROOT = Path(__file__).parents[1]


def test_on_four_devices():
    environment = {**os.environ, "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests" / "four_devices.py")]
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
