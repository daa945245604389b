"""How many runs of a configuration leave chance, and after how many training tasks.

    python -m experiments.stability --to=results/beyond/stability results/sine/runs results/omniglot/runs

Reads every run, finished or not, below the folders; runs that differ in nothing but their seeds are one line of the
table. Writes table.md, table.json and figure.png.
"""

import json
from pathlib import Path

import numpy as np
from absl import flags

from experiments import cli
from experiments.finding import Finding, destination, write_finding
from oplstm_jax import build, figures_beyond
from oplstm_jax.analysis.stability import Course, course, share_left
from oplstm_jax.records import CONFIG, read_config, read_metrics
from oplstm_jax.report import UNTRAINED, label_of

flags.DEFINE_string("to", None, "Folder of the finding; made if it is not there.")

HEADS = (
    "runs",
    "seeds",
    "share that left chance",
    "its 95 % interval",
    "tasks when they left it",
    "tasks when their error was twice its least",
    "tasks trained on",
    "least validation error",
)


def main() -> None:
    to, words = destination(), cli.words("folder of runs")
    groups = _groups([cli.folder(word) for word in words])
    rows = [_row(name, courses) for name, courses in groups.items()]
    to.mkdir(parents=True, exist_ok=True)
    figures_beyond.courses(to / "figure.png", {name: list(map(_points, courses)) for name, courses in groups.items()})
    about = (
        "Validations are as far apart as the configurations say, so a time is the first of them at which it was true. "
        "Past chance is more than a twentieth of it better; error is the mean squared error or one minus accuracy."
    )
    print(write_finding(Finding("Which runs leave chance, and when", HEADS, rows, about), to))


def _groups(folders: list[Path]) -> dict[str, list[Course]]:
    """The courses of all runs below the folders, those that differ in their seeds alone together."""
    configs: dict[str, dict[str, Course]] = {}
    names: dict[str, str] = {}
    for file in sorted(found for folder in folders for found in folder.rglob("config.json")):
        config, lines = read_config(file.parent, *CONFIG), read_metrics(file.parent)
        if config["learner"] in UNTRAINED or not any("validation_score" in line for line in lines):
            continue
        same = json.dumps({**config, "seed": None}, sort_keys=True)
        metric = "mse" if build.is_regression(config) else "accuracy"
        configs.setdefault(same, {})[str(config["seed"])] = course(lines, metric, build.chance(config))
        names[same] = f"{config['data']}, {config['base']}, {config['shot']:2}-shot, {label_of(config['learner'])}"
    if not configs:
        there = ", ".join(map(str, folders))
        raise ValueError(f"no validated runs in {there}: expected folders with config.json and metrics.jsonl")
    found = {_distinct(names, same): list(runs.values()) for same, runs in configs.items()}
    return {" ".join(name.split()): found[name] for name in sorted(found)}  # 5 shots before 10


def _distinct(names: dict[str, str], same: str) -> str:
    """The name of a configuration, with a number where another one has it too."""
    alike = [other for other, name in names.items() if name == names[same]]
    return names[same] + (f" ({alike.index(same) + 1})" if len(alike) > 1 else "")


def _row(name: str, courses: list[Course]) -> tuple:
    share, (low, high) = share_left(courses)
    left, near = ([getattr(found, field) for found in courses] for field in ("left_chance", "near_best"))
    each = [" ".join("never" if tasks is None else str(tasks) for tasks in times) for times in (left, near)]
    last, best = max(found.last for found in courses), float(np.mean([found.best for found in courses]))
    return name, len(courses), share, f"{low:.2f} to {high:.2f}", *each, last, best


def _points(found: Course) -> tuple[int | None, int | None, int]:
    return found.left_chance, found.near_best, found.last


if __name__ == "__main__":
    cli.run(main, words=float("inf"))
