"""Progress of long work on a terminal."""

import sys

import pytest

from oplstm_jax import progress


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_progress_keeps_to_one_line_of_the_terminal(columns, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "_columns", lambda: columns)
    shown, rate = progress.Progress(70_000), {"tasks_per_second": 3.0, "loss": 0.123456, "score": 0.654321}
    for tasks in (100, 200):
        shown.show({"tasks": tasks, "validation_score": 0.5, **rate})
    lines = capsys.readouterr().err.removeprefix("\r").replace("\x1b[K", "").split("\r")
    assert len(lines) == 2 and all(0 < len(line) < columns for line in lines)
    assert lines[0].startswith("100/70000 tasks, 3/s, loss 0.1235")
