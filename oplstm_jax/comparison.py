"""Finished runs of several seeds as one cell, and two cells compared."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from oplstm_jax.statistics import Estimate, over_seeds, paired, welch
from oplstm_jax.workdir import read_result, read_scores

SEED = re.compile(r"(^|[-/])seed\d+$")


class Cell(NamedTuple):
    """The finished runs that differ in their seeds alone: their results, and scores [n] of each."""

    results: list[dict[str, Any]]
    scores: list[np.ndarray]


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
