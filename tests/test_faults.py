"""Whatever kills a run, or fills its disk, resuming ends in the same parameters, metrics, scores and table."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from faults import OF_ITS_OWN, ROOT, outcome

from oplstm_jax.records import read_metrics

# Six log points, three of them with a validation and a checkpoint.
SIZES = "train_tasks=48,validate_every=16,log_every=8,validation_tasks=20,test_tasks=30,meta_batch=2"
TRAIN = [
    "experiments.train",
    f"--config=experiments/configs/sine.py:pi_lstm,{SIZES}",
    "--config.options.sizes=(8,8)",
]
TINY = ["tiny_command"]
TABLE = ["experiments.reproduce", "sine", "--learners=pi_lstm", "--shots=5", "--seeds=0", "--fraction=0.0007"]
pytestmark = pytest.mark.xdist_group("commands")  # they share the process that commands are forked from
EARLY = 12  # changes on the disk before the first step


@pytest.fixture(scope="module")
def whole(commands, tmp_path_factory):
    """(number of changes on the disk, what it leaves behind) of a run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    ended = commands(*TRAIN, f"--workdir={folder}")
    assert ended.code == 0, ended.output
    return ended.changes, outcome(folder)


def survive(command, folder, changes, seed, lives):
    """Kills a command up to `lives` times at random moments and lets it finish; returns the number of kills."""
    moments, killed, left = random.Random(seed), 0, changes
    for _ in range(lives):
        at = moments.randint(1, EARLY) if moments.random() < 0.1 else moments.randint(EARLY, max(left, EARLY + 1))
        delay = moments.choice((0, 0, moments.uniform(0, 0.1)))
        ended = command(f"--workdir={folder}", kill_at=at, delay=delay)
        if ended.code == 0:
            return killed
        assert ended.code == -9 and "Traceback" not in ended.output, ended.output
        killed += 1
        left -= max(ended.changes - EARLY, 0)  # a resumed run makes fewer
    ended = command(f"--workdir={folder}")
    assert ended.code == 0, ended.output
    return killed


def trial(commands, words, whole, folder, seed, lives):
    """Kills one run, lets it end and compares; returns the number of kills."""
    kills = survive(lambda *more, **when: commands(*words, *more, **when), folder, whole[0], seed, lives)
    assert outcome(folder) == whole[1], f"seed {seed}"
    shutil.rmtree(folder)
    return kills


def refused(commands, folder, limit):
    """A full disk, one that takes files of `limit` bytes only, and a read-only workdir are one line each."""
    as_nobody = {"user": 65534} if os.geteuid() == 0 else {}  # root may write anywhere
    ended = commands(*TRAIN, f"--workdir={folder}", file_limit=limit)
    (line,) = ended.output.splitlines()
    assert ended.code == 2 and line.startswith("error: ") and str(folder) in line and "File too large" in line
    before = read_metrics(folder)
    folder.chmod(0o555)
    (folder / ".lock").chmod(0o444)
    ended = commands(*TRAIN, f"--workdir={folder}", **as_nobody)
    assert (ended.code, ended.output) == (2, f"error: workdir {folder}: cannot be written: Permission denied\n")
    folder.chmod(0o755)
    (folder / ".lock").chmod(0o644)
    assert read_metrics(folder) == before


def test_a_run_to_which_everything_happens_ends_the_same(commands, whole, tmp_path):
    refused(commands, tmp_path, 4_000)
    # As the first line of metrics is written: any later change may be a checkpoint's, whose thread training outruns.
    ended = commands(*TRAIN, f"--workdir={tmp_path}", kill_at=1, only="metrics.jsonl", signal=signal.SIGINT)
    assert ended.code == 130, ended.output
    assert ended.output.endswith("interrupted by SIGINT: saved; the same command goes on from here\n")
    ended = commands(*TRAIN, f"--workdir={tmp_path}", kill_at=1, delay=0.6, signal=signal.SIGTERM)  # as it traces
    assert ended.code == 143 and "interrupted by SIGTERM: " in ended.output, ended.output
    soon = EARLY + 10  # whatever is left to do takes more changes than that
    assert trial(commands, TRAIN, (soon, whole[1]), tmp_path, seed=0, lives=2) > 0


def test_a_second_process_on_a_workdir_is_refused_and_the_first_is_not_disturbed(commands, whole, tmp_path):
    words = [sys.executable, "-m", *TRAIN, f"--workdir={tmp_path}"]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as first:
        while not (tmp_path / "config.json").exists():
            assert first.poll() is None
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)  # long before it has compiled and ends
        try:
            second = commands(*TRAIN, f"--workdir={tmp_path}")
            assert (second.code, second.output) == (2, f"error: workdir {tmp_path}: in use by another process\n")
            assert not (tmp_path / "metrics.jsonl").exists()
        finally:
            first.send_signal(signal.SIGCONT)
    assert first.returncode == 0
    assert outcome(tmp_path) == whole[1]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "wanted"), [(TINY, 200), (TRAIN, 20)], ids=["two hundred", "of the real command"])
def test_runs_survive_kills(commands, tmp_path, words, wanted):
    """A life costs little on the smallest problem, and what it writes is written by the same code."""
    ended = commands(*words, f"--workdir={tmp_path / 'whole'}")
    whole, kills, seed = (ended.changes, outcome(tmp_path / "whole")), 0, 0
    while kills < wanted:
        seed += 1
        kills += trial(commands, words, whole, tmp_path / "run", seed, lives=6)
    print(f"{kills} kills survived in {seed} runs")


def table(folder):
    """What a table says, but how long its training took."""
    keep = lambda found: {name: value for name, value in found.items() if name not in OF_ITS_OWN}  # noqa: E731
    content = json.loads((folder / "table.json").read_text(), object_hook=keep)
    return content, re.sub(r"training took [^.]*\.\d+ h", "", (folder / "table.md").read_text())


def visible(folder):
    """Names of files and folders, without hidden ones: what a killed process was writing stays as .NAME.partial."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.slow
def test_a_table_killed_as_it_is_written_ends_the_same(commands, tmp_path):
    """The last changes on the disk are those of results, tables and figures."""
    whole = commands(*TABLE, f"--workdir={tmp_path / 'whole'}")
    assert whole.code == 0, whole.output
    kills = 0
    for before_last in range(0, 26, 2):
        folder = tmp_path / "killed"
        kills += commands(*TABLE, f"--workdir={folder}", kill_at=whole.changes - before_last).code == -9
        ended = commands(*TABLE, f"--workdir={folder}")
        assert ended.code == 0, ended.output
        assert table(folder) == table(tmp_path / "whole")
        assert visible(folder) == visible(tmp_path / "whole")
        shutil.rmtree(folder)
    assert kills >= 10


@pytest.mark.slow
def test_signals_at_random_moments(commands, whole, tmp_path):
    """Also while programs are traced and compiled, which is long after the last change before the first step."""
    moments = random.Random(0)
    for number in (signal.SIGINT, signal.SIGTERM) * 8:
        at = moments.choice((moments.randint(1, EARLY), moments.randint(1, whole[0])))
        delay = moments.choice((0, moments.uniform(0, 1)))
        ended = commands(*TRAIN, f"--workdir={tmp_path}", kill_at=at, delay=delay, signal=number)
        assert ended.code in (0, 128 + number) and "Traceback" not in ended.output, ended.output
        ended = commands(*TRAIN, f"--workdir={tmp_path}")
        assert ended.code == 0, ended.output
        assert outcome(tmp_path)["params.npz"] == whole[1]["params.npz"]
        assert outcome(tmp_path)["metrics"] == whole[1]["metrics"]
        shutil.rmtree(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [300, 700, 1_500, 6_000, 8_000, 11_900])
def test_disks_full_at_every_file(commands, whole, tmp_path, limit):
    refused(commands, tmp_path, limit)
    again = commands(*TRAIN, f"--workdir={tmp_path}")
    assert again.code == 0, again.output
    assert outcome(tmp_path) == whole[1]
