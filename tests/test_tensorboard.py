"""Event files say what metrics.jsonl says, of finished runs and of running ones, without TensorFlow."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

from experiments.tensorboard import Events
from oplstm_jax.records import read_metrics

ROOT = Path(__file__).parents[1]
LINES = [
    {"step": 10, "tasks": 40, "loss": 2.0, "score": 1.5, "tasks_per_second": 100.0},
    {"step": 20, "tasks": 80, "loss": 1.0, "score": 0.5, "tasks_per_second": 200.0, "validation_score": 0.75},
]


def write_lines(run, lines):
    run.mkdir(parents=True, exist_ok=True)
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def scalars(folder):
    """(tag, tasks) -> value of all event files in a folder, read by the format's definition, checksums too."""
    found = {}
    for file in folder.glob("events.out.tfevents.*"):
        data, at = file.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            assert int.from_bytes(data[at + 8 : at + 12], "little") == masked_crc32c(data[at : at + 8])
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
            at += 16 + length
    return found


def expected(lines):
    return {(k, line["tasks"]): v for line in lines for k, v in line.items() if k not in ("step", "tasks")}


def test_all_runs_below_a_folder(commands, tmp_path):
    write_lines(tmp_path / "runs" / "one", LINES)
    write_lines(tmp_path / "runs" / "two", LINES[:1])
    result = {"metric": "mse", "score": 0.25, "interval": 0.1, "config": {}, "params_sha256": ""}
    (tmp_path / "runs" / "one" / "result.json").write_text(json.dumps(result))
    runs = f"--workdir={tmp_path / 'runs'}"
    done = commands("experiments.tensorboard", runs)
    assert done.code == 0, done.output
    assert "3 lines of 2 runs" in done.stdout
    assert scalars(tmp_path / "runs" / "one" / "tensorboard") == expected(LINES) | {("test_mse", 80): 0.25}
    assert scalars(tmp_path / "runs" / "two" / "tensorboard") == expected(LINES[:1])
    done = commands("experiments.tensorboard", runs, f"--to={tmp_path / 'to'}")
    assert done.code == 0 and scalars(tmp_path / "to" / "two") == expected(LINES[:1])


def test_a_run_that_grows_and_one_that_is_resumed(tmp_path):
    write_lines(tmp_path, LINES[:1])
    events = Events(tmp_path, tmp_path / "events")
    assert [events.update(), events.update()] == [1, 0]
    write_lines(tmp_path, LINES)
    assert events.update() == 1
    assert scalars(tmp_path / "events") == expected(LINES)
    again = [{**LINES[0], "loss": 4.0}]
    write_lines(tmp_path, again)  # as after a crash: later lines dropped, the others as the resumed run writes them
    assert events.update() == 1
    events.close()
    assert scalars(tmp_path / "events") == expected(again)
    anew = Events(tmp_path, tmp_path / "events")  # as the same command given again
    assert anew.update() == 1
    anew.close()
    assert scalars(tmp_path / "events") == expected(again)


def test_follow_goes_on_until_it_is_stopped(tmp_path):
    words = [sys.executable, "-m", "experiments.tensorboard", f"--workdir={tmp_path}", "--follow", "--every=0.1"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for number in (1, 2):  # the first run appears after the command has started
            write_lines(tmp_path / "run", LINES[:number])
            deadline = time.monotonic() + 120
            while len(scalars(tmp_path / "run" / "tensorboard")) < len(expected(LINES[:number])):
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.1)
        shutil.rmtree(tmp_path / "run")
        time.sleep(1)
        assert process.poll() is None and not (tmp_path / "run").exists()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_no_runs(commands, tmp_path):
    done = commands("experiments.tensorboard", f"--workdir={tmp_path}")
    assert done.code == 2
    assert done.stderr.count("\n") == 1 and "expected the folder of one run or of many" in done.stderr


def test_no_tensorflow(tmp_path):
    write_lines(tmp_path, LINES)
    code = (
        "import sys, pathlib; from experiments.tensorboard import Events;"
        f"events = Events(pathlib.Path({str(tmp_path)!r}), pathlib.Path({str(tmp_path)!r})); events.update();"
        "events.close(); print([m for m in ('tensorflow', 'tensorboard', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("line", ['{"step": 1}', '{"step": 1, "tasks": 2, "loss": null}', '{"step": 1, "tasks": "x"}'])
def test_a_damaged_line_is_named(line, tmp_path):
    (tmp_path / "metrics.jsonl").write_text(f"{line}\n")
    with pytest.raises(ValueError, match="metrics.jsonl: line 1: damaged: "):
        read_metrics(tmp_path)
