"""What is in results/ is whole: every cell says where it comes from, and tables and runs agree."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.cells import summaries
from experiments.finding import is_finding, markdown
from experiments.tables import make_table
from oplstm_jax import tabular

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(file.parent.relative_to(ROOT) for file in (ROOT / "results").rglob("table.json"))
TABLES = [folder for folder in FOLDERS if not is_finding(ROOT / folder)]
FINDINGS = [folder for folder in FOLDERS if is_finding(ROOT / folder)]
RUNS = sorted(file.parent.relative_to(ROOT) for file in (ROOT / "results").rglob("result.json"))
OF_CELL = ("learner", "shot", "metric", "norm", "test_query", "hardware", "versions", "commits", "train_tasks", "data")
OF_SEED = ("score", "interval", "test_tasks", "command", "commit", "hardware", "wall_seconds", "params_sha256")
OF_RUN = (
    "command",
    "commit",
    "hardware",
    "wall_seconds",
    "test_tasks",
    "seed",
    "norm",
    "test_query",
    "score",
    "config",
)


def _table(folder):
    return json.loads((ROOT / folder / "table.json").read_text())


def test_there_are_results():
    assert TABLES and RUNS


@pytest.mark.parametrize("folder", TABLES, ids=str)
def test_every_cell_says_where_it_comes_from(folder):
    table = _table(folder)
    assert table["title"] and 0 < table["fraction"] <= 1 and table["stand_in"] in (True, False)
    for cell in table["cells"]:
        name = f"{cell['learner']}, {cell['shot']}-shot {cell['protocol']}"
        assert cell["seeds"] or cell["missing_seeds"], name
        if cell["seeds"]:
            assert all(cell[field] not in (None, "", []) for field in OF_CELL), name
            assert cell["over_tasks"]["count"] == sum(run["test_tasks"] for run in cell["seeds"].values()), name
            seconds = sum(run["wall_seconds"] for run in cell["seeds"].values())
            assert cell["wall_seconds"] == pytest.approx(seconds), name
        for run in cell["seeds"].values():
            assert all(run[field] not in (None, "") for field in OF_SEED), name
            assert run["command"].startswith("python -m experiments.") and "=/" not in run["command"], name


@pytest.mark.parametrize("folder", RUNS, ids=str)
def test_every_run_says_where_it_comes_from(folder):
    result = json.loads((ROOT / folder / "result.json").read_text())
    assert all(result[field] not in (None, "") for field in OF_RUN)
    scores = np.load(ROOT / folder / "test_scores.npy", allow_pickle=False)
    assert len(scores) == result["test_tasks"]
    assert np.mean(scores, dtype=np.float64) == pytest.approx(result["score"], rel=1e-6)


@pytest.mark.parametrize("folder", TABLES, ids=str)
def test_texts_are_those_of_the_cells(folder):
    table = _table(folder)
    title, cells = table["title"], table["cells"]
    fractions = [cell["fraction"] for cell in cells if cell["seeds"] and cell["fraction"] is not None]
    assert all(f"{end:.3g}" in title.split(", ")[-1] for end in (min(fractions), max(fractions)) if max(fractions) != 1)
    assert title.endswith(" of the full training tasks") == (max(fractions) != 1)
    texts = {"table.md": tabular.markdown(title, cells), "table.csv": tabular.csv_text(cells)}
    for name, text in {**texts, "table.tex": tabular.latex(title, cells)}.items():
        assert (ROOT / folder / name).read_text() == text, name


@pytest.mark.parametrize("folder", TABLES, ids=str)
def test_cells_are_those_of_the_runs(folder):
    table = _table(folder)
    cells = {(cell["learner"], cell["shot"], cell["protocol"]): cell for cell in table["cells"]}
    parts = {cell["part"] for cell in table["cells"]}
    data = {"within": parts, "cross": parts, "updates": parts - {"omniglot"}}.get(table["name"], ())
    made = make_table(table["name"], tuple(sorted(data)))
    seeds = {int(s) for cell in table["cells"] for s in (*cell["seeds"], *cell["missing_seeds"])}
    again = summaries(made, ROOT / folder / "runs", tuple(sorted(seeds)))
    again = {(cell["learner"], cell["shot"], cell["protocol"]): cell for cell in again}
    assert set(cells) <= set(again)
    for key, cell in cells.items():
        assert _rounded(again[key]) == _rounded(cell), key


def _rounded(cell):
    """As JSON would hold it, with the digits that do not depend on the machine's order of summation."""
    return json.loads(json.dumps(cell), parse_float=lambda text: float(f"{float(text):.9g}"))


@pytest.mark.parametrize("folder", FINDINGS, ids=str)
def test_findings_say_where_they_come_from_and_what_would_change_them(folder):
    table = _table(folder)
    assert (ROOT / folder / "table.md").read_text() == markdown(table)
    assert all(len(row) == len(table["heads"]) for row in table["rows"])
    assert table["origin"]["command"].startswith("python -m experiments.") and "=/" not in table["origin"]["command"]
    assert all(table["origin"][field] for field in ("commit", "hardware", "versions", "date"))
    text = (ROOT / folder / "finding.md").read_text()
    assert "What would change this:" in text and table["origin"]["commit"] in text
    assert (ROOT / folder / "figure.png").read_bytes().startswith(b"\x89PNG")
