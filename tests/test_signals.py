"""Commands that are interrupted, or whose reader goes away, say one line or nothing and lose no work."""

import os
import signal
import subprocess
import sys
import time

import pytest
from processes import ROOT, command
from test_commands import PI


def test_sigterm_saves_and_the_same_command_goes_on(tmp_path):
    words = [sys.executable, "-m", "experiments.train", f"--workdir={tmp_path}", PI, "--config.log_every=100"]
    options = {"cwd": ROOT, "text": True, "env": {**os.environ, "PYTHONUNBUFFERED": "1"}}
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, **options)
    deadline = time.monotonic() + 120
    while not (tmp_path / "metrics.jsonl").exists() or not (tmp_path / "metrics.jsonl").read_text():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "interrupted by SIGTERM: saved" in errors and "Traceback" not in errors
    assert any((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize("module", ["experiments.train", "benchmarks.throughput"])
def test_ctrl_c_while_a_command_still_imports_says_nothing(module, tmp_path):
    (tmp_path / "jax.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = command(module, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("again", [0.05, 0])  # with 0, the hook that hears of it may still be at work
def test_a_signal_that_comes_while_garbage_is_collected_is_not_lost(number, again):
    """Python drops what is raised in such a callback, and in the hook that hears of it."""
    code = (
        "import gc, os, signal, sys, time\n"
        "from experiments import cli\n"
        f"cli.AGAIN = {again}\n"
        "def main():\n"
        "    sent = []\n"
        "    def callback(phase, info):\n"
        "        if not sent:\n"
        "            sent.append(True)\n"
        f"            os.kill(os.getpid(), {number:d})\n"
        "            time.sleep(0.01)\n"
        "    gc.callbacks.append(callback)\n"
        "    gc.collect()\n"
        "    time.sleep(10)\n"
        "cli.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 128 + number and "Traceback" not in done.stderr
    assert f"interrupted by {number.name}" in done.stderr


def test_a_reader_that_has_seen_enough_ends_a_command_quietly():
    words = f"{sys.executable} -m experiments.compare results/pooling/runs/hidden results/pooling/runs/hidden"
    script = f"set -o pipefail; {words} | true"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
