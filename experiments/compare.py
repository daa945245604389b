"""Compares finished runs, cell by cell: over seeds, and on each of the test tasks that they share.

    python -m experiments.compare results/best_sine/runs/authors results/best_sine/runs/best
    python -m experiments.compare results/sine/runs/maml-5shot results/sine/runs/op_lstm-5shot --to=runs/compared

A cell is what differs in nothing but its seeds: the folders NAME-seed0, NAME-seed1, ... (of `num_seeds` just seed0,
...). Two folders are compared name by name, two cells with one another. Prints the table; --to keeps it.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from experiments import cli
from experiments.finding import Finding, as_table, markdown, write_finding
from oplstm_jax.statistics import Estimate, over_seeds, paired, welch
from oplstm_jax.workdir import read_result, read_scores

flags.DEFINE_string("to", None, "Folder for table.md and table.json; made if it is not there.")

SEED = re.compile(r"(^|[-/])seed\d+$")
HEADS = ("cell", "metric", "seeds", "first", "second", "second - first", "p", "on the same tasks")
ABOUT = (
    "Means and 95 % intervals over seeds; their difference and p by Welch's test: what to expect of other trainings. "
    "On the same tasks: the difference of each test task's scores, averaged over seeds, about these runs alone "
    "(– where results do not name one list of tasks)."
)


class Cell(NamedTuple):
    """The finished runs that differ in their seeds alone: their results, and scores [n] of each."""

    results: list[dict[str, Any]]
    scores: list[np.ndarray]


def main() -> None:
    words = cli.words("folders or cells to compare")
    if len(words) != 2:
        raise ValueError(f"{len(words)} folders or cells: expected two")
    first, second = (cells(Path(word)) for word in words)
    if len(first) == len(second) == 1:
        name = ", ".join(dict.fromkeys((*first, *second)))
        first, second = ({name: cell} for cell in (*first.values(), *second.values()))
    names = [name for name in first if name in second]
    if not names:
        raise ValueError(f"no cell is in both: {', '.join(first)} and {', '.join(second)}")
    title = f"{words[1]} compared with {words[0]}"
    found = Finding(title, HEADS, [row(name, first[name], second[name]) for name in names], ABOUT)
    print(write_finding(found, Path(flags.FLAGS.to)) if flags.FLAGS.to else markdown(as_table(found)), end="")


def cells(path: Path) -> dict[str, Cell]:
    """The cells below a folder by name, or the one cell whose runs begin with this path and end with their seed.

    Raises ValueError if there is no finished run.
    """
    if path.is_dir():
        folders = {file.parent: file.parent.relative_to(path).as_posix() for file in sorted(path.rglob("result.json"))}
    else:
        folders = {file.parent: file.parent.name for file in sorted(path.parent.glob(f"{path.name}-seed*/result.json"))}
    found: dict[str, Cell] = {}
    for folder, name in folders.items():
        if not SEED.search(name):
            continue
        cell = found.setdefault(SEED.sub("", name), Cell([], []))
        cell.results.append(read_result(folder) or {})
        cell.scores.append(read_scores(folder))
    if not found:
        raise ValueError(f"{path}: no finished runs there: expected folders NAME-seed0, NAME-seed1, ...")
    return dict(sorted(found.items(), key=lambda item: [int(n) for n in re.findall(r"\d+", item[0])]))


def row(name: str, first: Cell, second: Cell) -> tuple:
    """A line of the table. Raises ValueError for different metrics."""
    metrics = {result["metric"] for cell in (first, second) for result in cell.results}
    if len(metrics) > 1:
        raise ValueError(f"{name}: {' and '.join(sorted(metrics))} do not compare: expected one metric")
    means = [over_seeds(cell.scores) for cell in (first, second)]
    over = welch(*means) if min(mean.count for mean in means) > 1 else None
    lists = {result.get("task_list") for cell in (first, second) for result in cell.results}
    same = paired(first.scores, second.scores) if len(lists) == 1 and None not in lists else None
    difference = over and Estimate(over.difference, over.interval, sum(mean.count for mean in means))
    counts = " and ".join(str(mean.count) for mean in means)
    return (name or "–", *metrics, counts, *means, difference, over and over.p, same)


if __name__ == "__main__":
    cli.run(main, words=float("inf"))
