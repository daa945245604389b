"""Trains every cell of a table of the paper and writes the table beside the published numbers.

    python -m experiments.reproduce sine|omniglot|omniglot_conv4|glyphs --workdir=runs/sine [--seeds=0,1,2] [--fraction=0.1]
        [--learners=op_lstm,maml] [--shots=5,10] [--workers=2] [--data=PACK.npz]

Finished cells are skipped and interrupted ones resumed; several processes may share a workdir, and --workers starts
them. Folders of runs made elsewhere can be copied in; --notrain writes the report alone. The workdir ends up
holding a folder per run, table.md, table.json and the figures.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from absl import flags
from ml_collections import ConfigDict

from experiments import cli, table_figures
from experiments.configs import glyphs, omniglot, omniglot_conv4, sine
from experiments.run import describe, run_config
from oplstm_jax import build, figures, report
from oplstm_jax.published import OMNIGLOT, SINE, Published
from oplstm_jax.trained import score_trained
from oplstm_jax.workdir import InUse, read_metrics, read_result, write_text

flags.DEFINE_string("workdir", None, "Folder of the table; made if it is not there.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of each cell.")
flags.DEFINE_list("learners", None, "Only these learners.")
flags.DEFINE_list("shots", None, "Only these numbers of shots.")
flags.DEFINE_string("data", None, "Other data than the configuration's: a prepared set, an .npz pack or a folder.")
flags.DEFINE_integer("workers", 1, "Processes that share the work; the others write worker<N>.log in the workdir.")
flags.DEFINE_bool("train", True, "--notrain only writes the report of what is finished, also after merging workdirs.")
flags.DEFINE_float("fraction", 1.0, "Fraction of the authors' training tasks.")


@dataclasses.dataclass(frozen=True)
class Table:
    """One table: which learners at which shots, from which configuration file, and a figure of its own.

    as_published: the runs are tested once more, with k queries per class, as the paper's were.
    """

    title: str
    get_config: Callable[[str], ConfigDict]
    learners: tuple[str, ...]
    shots: tuple[int, ...]
    published: dict[tuple[str, int], Published]
    draw: Callable[[Path, list[report.Cell]], None]
    as_published: bool = False


TABLES = {
    "sine": Table(
        "Few-shot sine regression", sine.get_config, tuple(sine.LEARNERS), (5, 10, 20), SINE, table_figures.waves
    ),
    "omniglot": Table(
        "5-way Omniglot, fully connected base-learner",
        omniglot.get_config,
        tuple(omniglot.LEARNERS),
        (1, 5),
        OMNIGLOT,
        table_figures.episodes,
        as_published=True,
    ),
    "omniglot_conv4": Table(
        "5-way Omniglot, Conv-4",
        omniglot_conv4.get_config,
        ("op_lstm_head", "protonet"),
        (1,),
        {},
        table_figures.episodes,
        as_published=True,
    ),
    "glyphs": Table(
        "5-way glyphs, a small Conv-4", glyphs.get_config, ("protonet", "op_lstm_head", "pi_lstm"), (1,), {}, table_figures.episodes
    ),
}


def main() -> None:
    table = _table(cli.positional("table", TABLES))
    root, fraction = Path(cli.required("workdir")), flags.FLAGS.fraction
    if not 0 < fraction <= 1:
        raise ValueError(f"flag --fraction is {fraction}: expected above 0 and at most 1")
    seeds = tuple(cli.integers("seeds"))
    cells = [_cell(table, root, learner, shot, seeds) for learner in table.learners for shot in table.shots]
    if flags.FLAGS.train:
        _train(root, list(_runs(table, seeds, fraction)))
    elif not root.is_dir():
        raise ValueError(f"workdir {root}: no such folder")
    text = write_report(table, root, cells, fraction)
    names = ("table.md", "table.json", "learning_curves.png", "fitted_waves.png", "episodes.png")
    print(f"\n{text}\nwritten: " + " ".join(str(root / name) for name in names if (root / name).exists()))


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


def write_report(table: Table, root: Path, cells: list[report.Cell], fraction: float) -> str:
    """Writes table.md, table.json and the figures of what is finished; returns the Markdown."""
    rows = [report.summarise(cell) for cell in (*cells, *_as_published(table, cells))]
    title = table.title if fraction == 1 else f"{table.title}, {fraction:g} of the authors' training tasks"
    text = report.markdown(title, rows)
    write_text(root / "table.md", text)
    write_text(root / "table.json", json.dumps({"title": title, "fraction": fraction, "cells": rows}, indent=1) + "\n")
    problem = build.build_problem(json.loads(table.get_config(table.learners[0]).to_json_best_effort()))
    panels = {
        f"{shot}-shot": {c.learner: [read_metrics(f) for f in c.folders.values()] for c in cells if c.shot == shot}
        for shot in table.shots
    }
    figures.learning_curves(root / "learning_curves.png", panels, problem.metric, problem.chance)
    table.draw(root, cells)
    return text


def _table(name: str) -> Table:
    """The table, narrowed to the learners and shots asked for."""
    table = TABLES[name]
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
    for seed in seeds:
        for shot in table.shots:
            for learner in table.learners:
                config = table.get_config(f"{learner},shot={shot},seed={seed}")
                config.data = flags.FLAGS.data or config.data
                config.train_tasks = max(1, round(config.train_tasks * fraction))
                config.validate_every = min(config.validate_every, -(-config.train_tasks // 4))
                config.log_every = min(config.log_every, config.validate_every)
                yield _folder(learner, shot, seed), config


def _cell(table: Table, root: Path, learner: str, shot: int, seeds: tuple[int, ...]) -> report.Cell:
    folders = {seed: root / _folder(learner, shot, seed) for seed in seeds}
    if table.as_published:
        return report.Cell(learner, shot, folders, None, "15 queries")
    return report.Cell(learner, shot, folders, table.published.get((learner, shot)))


def _as_published(table: Table, cells: list[report.Cell]) -> Iterator[report.Cell]:
    """The same runs tested with k queries per class, where the table asks for it; results lie in the runs' folders."""
    for cell in cells if table.as_published else ():
        folders = {seed: folder / f"{cell.shot}_queries" for seed, folder in cell.folders.items()}
        for folder in folders.values():
            if read_result(folder) is None and read_result(folder.parent) is not None:
                folder.mkdir(exist_ok=True)
                result, scores = score_trained(folder.parent, test_query=cell.shot)
                np.save(folder / "test_scores.npy", scores)
                write_text(folder / "result.json", json.dumps(result, indent=1, sort_keys=True) + "\n")
        yield cell._replace(folders=folders, protocol="k queries", published=table.published.get((cell.learner, cell.shot)))


def _folder(learner: str, shot: int, seed: int) -> str:
    return f"{learner}-{shot}shot-seed{seed}"


if __name__ == "__main__":
    cli.run(main, words=1)
