"""Every notebook runs from its first cell to its last: in short mode by default, in full by the slow tests."""

import subprocess
import sys

import matplotlib.pyplot as plt
import pytest
from processes import OPTIMISED

from notebooks import refresh

FULL = (
    "import sys, pathlib; from notebooks import refresh;"
    "exec('\\n'.join(refresh.code(pathlib.Path(sys.argv[1]))), {'__name__': 'notebook'})"
)


@pytest.mark.parametrize("name", refresh.ORDER)
def test_runs_in_short_mode(name, monkeypatch):
    drawn = []

    def show():
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
            drawn.append(number)
        plt.close("all")

    monkeypatch.setenv("OPLSTM_SHORT", "1")
    monkeypatch.setattr(plt, "show", show)
    plt.switch_backend("Agg")
    names: dict = {"__name__": "notebook"}
    for number, cell in enumerate(refresh.code(refresh.FOLDER / f"{name}.ipynb")):
        exec(compile(cell, f"{name}.ipynb, code cell {number}", "exec"), names)
    assert drawn


@pytest.mark.slow
@pytest.mark.parametrize("name", refresh.ORDER)
def test_runs_in_full(name, tmp_path):
    words = [sys.executable, "-c", FULL, str(refresh.FOLDER / f"{name}.ipynb")]
    environment = {**OPTIMISED, "MPLBACKEND": "agg", "PYTHONPATH": str(refresh.FOLDER.parent)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    print(done.stdout)


def test_all_are_in_order_and_fresh():
    """`python -m notebooks.refresh` leaves them as they are, and an address brings a badge to each."""
    assert {path.stem for path in refresh.FOLDER.glob("*.ipynb")} == set(refresh.ORDER)
    for name in refresh.ORDER:
        path = refresh.FOLDER / f"{name}.ipynb"
        assert refresh.refreshed(path, refresh.repository()) == path.read_text(encoding="utf-8")
        text = refresh.refreshed(path, "https://github.com/someone/oplstm")
        assert f"colab.research.google.com/github/someone/oplstm/blob/main/notebooks/{name}.ipynb" in text
        assert "oplstm_jax[plots] @ git+https://github.com/someone/oplstm" in text
