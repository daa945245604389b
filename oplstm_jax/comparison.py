"""Finished runs of several seeds as one cell, and two cells compared."""

import re
from pathlib import Path

from oplstm_jax.report import Run, check_seeds, read_run
from oplstm_jax.statistics import Estimate, over_seeds, paired, welch

SEED = re.compile(r"(^|[-/])seed\d+$")
HEADS = ("cell", "metric", "seeds", "first", "second", "second - first", "p", "on the same tasks")


def cells(path: Path) -> dict[str, list[Run]]:
    """By name, the finished runs below a folder that differ in their seeds alone.

    Of a path that is no folder, the one cell whose runs begin with it and end with their seed. Raises ValueError if
    there is no finished run, or if runs of a cell differ in more than their seeds.
    """
    root, pattern = (path, "**") if path.is_dir() else (path.parent, f"{path.name}-seed*")
    found: dict[str, list[Run]] = {}
    for folder in sorted(file.parent for file in root.glob(f"{pattern}/result.json")):
        name = folder.relative_to(root).as_posix()
        if SEED.search(name) and (run := read_run(folder)):
            found.setdefault(SEED.sub("", name), []).append(run)
    if not found:
        raise ValueError(f"{path}: no finished runs there: expected folders NAME-seed0, NAME-seed1, ...")
    for name, runs in found.items():
        check_seeds(root / name, [run.result for run in runs])
    return dict(sorted(found.items(), key=lambda item: [int(n) for n in re.findall(r"\d+", item[0])]))


def row(name: str, first: list[Run], second: list[Run]) -> tuple:
    """What `HEADS` says of two cells. Raises ValueError for different metrics."""
    metrics = {run.result["metric"] for run in (*first, *second)}
    if len(metrics) > 1:
        raise ValueError(f"{name}: {' and '.join(sorted(metrics))} do not compare: expected one metric")
    scores = [[run.scores for run in cell] for cell in (first, second)]
    means = [over_seeds(each) for each in scores]
    over = welch(*means) if min(mean.count for mean in means) > 1 else None
    lists = {run.result.get("task_list") for run in (*first, *second)}
    same = paired(*scores) if len(lists) == 1 and None not in lists else None
    difference = over and Estimate(over.difference, over.interval, sum(mean.count for mean in means))
    counts = " and ".join(str(mean.count) for mean in means)
    return (name or "–", *metrics, counts, *means, difference, over and over.p, same)
