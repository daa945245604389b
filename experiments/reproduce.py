"""Trains every cell of a table of the paper and writes the table beside the published numbers.

    python -m experiments.reproduce sine|omniglot|omniglot_conv4|glyphs --workdir=runs/sine [--seeds=0,1,2]
        [--fraction=0.1] [--learners=op_lstm,maml] [--shots=5,10] [--workers=2] [--data=PACK.npz]
        [--fields=image_size=28,filters=32]
    python -m experiments.reproduce within|cross --data=mini,cub --workdir=runs/natural [...]

Finished cells are skipped and interrupted ones resumed; several processes may share a workdir, and --workers starts
them. Folders of runs made elsewhere can be copied in; --notrain writes the report alone. The workdir ends up
holding a folder per run, table.md, table.json and the figures.
"""

import contextlib
import dataclasses
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from experiments import cli
from experiments.run import describe, run_config
from experiments.tables import FILES, TABLES, Part, Table, Test, make_table
from oplstm_jax import build, figures, report
from oplstm_jax.files import write_text
from oplstm_jax.trained import score_trained
from oplstm_jax.workdir import InUse, read_metrics, read_result, write_result

flags.DEFINE_string("workdir", None, "Folder of the table; made if it is not there.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of each cell.")
flags.DEFINE_list("learners", None, "Only these learners.")
flags.DEFINE_list("shots", None, "Only these numbers of shots.")
flags.DEFINE_list("data", [], "Other data than the configuration's: a prepared set, an .npz pack or a folder; two for cross.")
flags.DEFINE_integer("workers", 1, "Processes that share the work; the others write worker<N>.log in the workdir.")
flags.DEFINE_bool("train", True, "--notrain only writes the report of what is finished, also after merging workdirs.")
flags.DEFINE_float("fraction", 1.0, "Fraction of the authors' training tasks.")
flags.DEFINE_list("fields", [], "Fields that differ from the authors' configuration, such as image_size=28,filters=32.")


def main() -> None:
    table = _table(cli.positional("table", TABLES))
    root, fraction = Path(cli.required("workdir")), flags.FLAGS.fraction
    if not 0 < fraction <= 1:
        raise ValueError(f"flag --fraction is {fraction}: expected above 0 and at most 1")
    seeds = tuple(cli.integers("seeds"))
    if flags.FLAGS.train:
        _train(root, list(_runs(table, seeds, fraction)))
    elif not root.is_dir():
        raise ValueError(f"workdir {root}: no such folder")
    text = write_report(table, root, seeds, fraction)
    print(f"\n{text}\nwritten: " + " ".join(str(root / name) for name in FILES if (root / name).exists()))


def _train(root: Path, runs: list[tuple[str, ConfigDict]]) -> None:
    """Trains what is not finished, together with the other workers."""
    with _other_workers(root, flags.FLAGS.workers) as others:
        for number, (name, config) in enumerate(runs, 1):
            print(f"[{number}/{len(runs)}] {name}", file=sys.stderr, flush=True)
            try:
                print(describe(run_config(config, root / name)), flush=True)
            except InUse:
                print("left to the process that has it", file=sys.stderr, flush=True)
        for other in others:
            other.wait()


@contextlib.contextmanager
def _other_workers(root: Path, count: int) -> Iterator[list[subprocess.Popen]]:
    """Runs this command in count - 1 more processes on the same workdir; they stop when this one does."""
    if count < 1:
        raise ValueError(f"flag --workers is {count}: expected 1 or more")
    root.mkdir(parents=True, exist_ok=True)
    others = []
    for number in range(1, count):
        command = [sys.executable, "-m", "experiments.reproduce", *sys.argv[1:], "--workers=1"]
        with open(root / f"worker{number}.log", "a") as log:
            others.append(subprocess.Popen(command, stdout=log, stderr=log))
    try:
        yield others
    finally:
        for other in others:
            other.terminate()
            other.wait()


def write_report(table: Table, root: Path, seeds: tuple[int, ...], fraction: float) -> str:
    """Writes table.md, table.json and the figures of what is finished; returns the Markdown."""
    cells = list(_cells(table, root, seeds))
    rows = [report.summarise(_tested(cell, test)) for _, test, cell in cells]
    title = table.title if fraction == 1 else f"{table.title}, {fraction:g} of the authors' training tasks"
    title += f", with {' '.join(flags.FLAGS.fields)}" if flags.FLAGS.fields else ""
    config = json.loads(table.parts[0].get_config(table.learners[0]).to_json_best_effort())
    problem = build.build_problem({**config, "data": table.parts[0].data or config["data"]})
    text = report.markdown(title, rows, problem.metric)
    write_text(root / "table.md", text)
    write_text(root / "table.json", json.dumps({"title": title, "fraction": fraction, "cells": rows}, indent=1) + "\n")
    panels: dict[str, dict[str, list]] = {}
    runs = [(part, cell) for part, test, cell in cells if test is part.tests[0]]
    for part, cell in runs:
        panel = panels.setdefault(f"{cell.shot}-shot" + (f", {part.name}" if part.name else ""), {})
        panel[cell.learner] = [read_metrics(folder) for folder in cell.folders.values()]
    figures.learning_curves(root / "learning_curves.png", panels, problem.metric, problem.chance)
    table.draw(root, [cell for _, cell in runs])
    return text


def _cells(table: Table, root: Path, seeds: tuple[int, ...]) -> Iterator[tuple[Part, Test, report.Cell]]:
    """Every cell of the table with the folders of its runs, what it is a part of, and how it is tested."""
    for part in table.parts:
        for test, learner, shot in itertools.product(part.tests, table.learners, table.shots):
            folders = {seed: root / _folder(part, learner, shot, seed) for seed in seeds}
            yield part, test, report.Cell(learner, shot, folders, test.published.get((learner, shot)), test.label)


def _tested(cell: report.Cell, test: Test) -> report.Cell:
    """The cell with the folders of its tests, after making those that are missing."""
    if not test.folder:
        return cell
    folders = {seed: folder / test.folder for seed, folder in cell.folders.items()}
    for run, folder in zip(cell.folders.values(), folders.values(), strict=True):
        if read_result(folder) is None and read_result(run) is not None:
            result, scores = score_trained(run, **test.changes(cell.shot))
            folder.mkdir(exist_ok=True)
            write_result(folder, result, scores)
    return cell._replace(folders=folders)


def _table(name: str) -> Table:
    """The table, narrowed to the learners and shots asked for."""
    table = make_table(name, tuple(flags.FLAGS.data))
    learners = tuple(flags.FLAGS.learners or table.learners)
    shots = tuple(cli.integers("shots")) if flags.FLAGS.shots else table.shots
    for learner in learners:
        if learner not in table.learners:
            raise ValueError(f"flag --learners: unknown {learner!r}: expected some of {', '.join(table.learners)}")
    if min(shots) < 1:
        raise ValueError(f"flag --shots: {min(shots)} is not a number of shots: expected 1 or more")
    return dataclasses.replace(table, learners=learners, shots=shots)


def _runs(table: Table, seeds: tuple[int, ...], fraction: float) -> Iterator[tuple[str, ConfigDict]]:
    """(folder, configuration) of every run, seed by seed so that a partial table has all of its cells."""
    for seed, part, shot, learner in itertools.product(seeds, table.parts, table.shots, table.learners):
        config = part.get_config(",".join([learner, f"shot={shot}", f"seed={seed}", *flags.FLAGS.fields]))
        config.data = part.data or config.data
        config.train_tasks = max(1, round(config.train_tasks * fraction))
        config.validate_every = min(config.validate_every, -(-config.train_tasks // 4))
        config.log_every = min(config.log_every, config.validate_every)
        yield _folder(part, learner, shot, seed), config


def _folder(part: Part, learner: str, shot: int, seed: int) -> str:
    return str(Path(part.name) / f"{learner}-{shot}shot-seed{seed}")


if __name__ == "__main__":
    cli.run(main, words=1)
