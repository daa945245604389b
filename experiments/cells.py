"""The runs behind a table, and the cells that are made of them."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.table import Part, Table, Test
from oplstm_jax import build, figures, report, tabular
from oplstm_jax.files import write_text
from oplstm_jax.records import read_metrics, read_result, write_result
from oplstm_jax.trained import score_trained


class PlannedRun(NamedTuple):
    """One run of a table: its folder, its configuration, and the step size it compares its updates with, if any."""

    folder: Path
    config: ConfigDict
    gradient_step: float | None


def runs(table: Table, root: Path, seeds: tuple[int, ...], fraction: float) -> Iterator[PlannedRun]:
    """Every run, seed by seed so that a partial table has all its cells. fraction: of its training tasks."""
    for seed, part, shot, learner in itertools.product(seeds, table.parts, table.shots, table.learners):
        if seed not in _seeds_of(learner, seeds):
            continue
        config = part.configure(learner, shot, seed)
        config.train_tasks = max(1, round(config.train_tasks * fraction))
        config.validate_every = min(config.validate_every, -(-config.train_tasks // 4))
        config.log_every = min(config.log_every, config.validate_every)
        yield PlannedRun(root / _folder(part, learner, shot, seed), config, part.gradient_step)


def write_table(name: str, table: Table, root: Path, seeds: tuple[int, ...], fraction: float) -> str:
    """Writes the texts (Markdown, JSON, CSV, LaTeX) and the figures of what is finished; returns the Markdown."""
    rows = summaries(table, root, seeds)
    title = table.title + _budget_words(rows, fraction)
    drawn = [(part, cell) for part, test, cell in _cells(table, root, seeds) if test is _drawn(part)]
    table.draw(root, [cell for _, cell in drawn])  # first: it reads what a damaged run would leave half a table for
    _draw_learning_curves(root, drawn)
    about = {"name": name, "title": title, "fraction": fraction, "stand_in": table.stand_in}
    write_text(root / "table.json", json.dumps({**about, "cells": rows}, indent=1) + "\n")
    write_text(root / "table.md", text := tabular.markdown(title, rows))
    write_text(root / "table.csv", tabular.csv_text(rows))
    write_text(root / "table.tex", tabular.latex(title, rows))
    return text


def _budget_words(rows: list[dict[str, Any]], fraction: float) -> str:
    """What the title says of budgets: nothing where some cells had all, whose facts say which had less."""
    found = [row["fraction"] for row in rows if row["seeds"] and row["fraction"] is not None] or [fraction]
    if max(found) == 1:
        return ""
    ends = dict.fromkeys(f"{end:.3g}" for end in (min(found), max(found)))
    return f", {' to '.join(ends)} of the full training tasks"


def summaries(table: Table, root: Path, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    """Every cell as JSON, after the tests that are missing have been made."""
    rows = []
    for part, test, cell in _cells(table, root, seeds):
        _make_test(cell, test, part)
        summary = report.summarise(cell)
        rows.append({**summary, "part": part.name, "published_seconds": test.seconds.get((cell.learner, cell.shot))})
    return rows


def _cells(table: Table, root: Path, seeds: tuple[int, ...]) -> Iterator[tuple[Part, Test, report.Cell]]:
    """Every cell of the table with the folders of its runs, what it is a part of, and how it is tested."""
    for part in table.parts:
        metric = "mse" if build.is_regression(part.configure(table.learners[0], table.shots[0])) else "accuracy"
        for test, learner, shot in itertools.product(part.tests, table.learners, table.shots):
            folders = {seed: root / _folder(part, learner, shot, seed) for seed in _seeds_of(learner, seeds)}
            published = test.published.get((learner, shot))
            full = None if learner in report.UNTRAINED else part.configure(learner, shot).train_tasks
            how = {"protocol": test.label, "metric": test.metric or metric, "test": test.folder}
            yield part, test, report.Cell(learner, shot, folders, published, full_tasks=full, **how)


def _seeds_of(learner: str, seeds: tuple[int, ...]) -> tuple[int, ...]:
    """Those of the seeds with which a learner's runs differ: of runs that are the same, the first is all there is."""
    return seeds[:1] if learner in report.UNTRAINED else seeds


def _make_test(cell: report.Cell, test: Test, part: Part) -> None:
    """Tests the finished runs of a cell that have not been tested so."""
    for run in cell.folders.values():
        if read_result(run / test.folder) is None and read_result(run) is not None:
            if test.measure is not None and part.gradient_step is not None:
                found = test.measure(run, part.gradient_step)
            else:
                found = {test.folder: score_trained(run, **test.changes(cell.shot))}
            for name, (result, scores) in found.items():
                (run / name).mkdir(exist_ok=True)
                write_result(run / name, result, scores)


def _drawn(part: Part) -> Test:
    """The test whose scores are in figures: the one the published scores are from, else the first."""
    return next((test for test in part.tests if test.published and test.measure is None), part.tests[0])


def _draw_learning_curves(root: Path, runs: list[tuple[Part, report.Cell]]) -> None:
    panels: dict[str, dict[str, list]] = {}
    scales: dict[str, tuple[str, float]] = {}
    for part, cell in runs:
        if cell.learner in report.UNTRAINED:
            continue
        title = f"{cell.shot}-shot" + (f", {part.name}" if part.name else "")
        panels.setdefault(title, {})[cell.learner] = [read_metrics(folder) for folder in cell.folders.values()]
        scales[title] = cell.metric, build.chance(part.configure(cell.learner, cell.shot))
    if panels:
        figures.learning_curves(root / "learning_curves.png", panels, scales)


def _folder(part: Part, learner: str, shot: int, seed: int) -> str:
    return str(Path(part.name) / f"{learner}-{shot}shot-seed{seed}")
