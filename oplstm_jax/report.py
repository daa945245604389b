"""Finished runs -> tables beside the published numbers, as Markdown and JSON."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from oplstm_jax.published import Published
from oplstm_jax.statistics import estimate, over_seeds, over_tasks
from oplstm_jax.workdir import read_result, read_scores

LABELS = {
    "lstm": "plain LSTM (sequential)",
    "pi_lstm": "plain LSTM (mean-pooled)",
    "op_lstm": "OP-LSTM",
    "op_lstm_head": "OP-LSTM (last layer)",
    "maml": "MAML",
    "protonet": "ProtoNet",
    "sap": "SAP",
    "warp_maml": "Warp-MAML",
    "finetune": "fine-tuning",
    "scratch": "train from scratch",
    "random": "random guessing",
}


class Run(NamedTuple):
    """One finished run: its result and the score of each test task [n]."""

    result: dict[str, Any]
    scores: np.ndarray


class Cell(NamedTuple):
    """One cell of a table: a learner at a number of shots, and the folders of its runs by seed.

    protocol: how it was tested, where a table shows more than one way.
    """

    learner: str
    shot: int
    folders: dict[int, Path]
    published: Published | None
    protocol: str = ""


def read_run(folder: Path) -> Run | None:
    """The run in a workdir, None while it is not finished."""
    result = read_result(folder)
    return None if result is None else Run(result, read_scores(folder))


def summarise(cell: Cell) -> dict[str, Any]:
    """One cell as JSON: every seed's score, both intervals over what is finished, and the published value."""
    runs = {seed: run for seed, folder in cell.folders.items() if (run := read_run(folder)) is not None}
    row: dict[str, Any] = {"learner": cell.learner, "shot": cell.shot, "protocol": cell.protocol, "published": None}
    if cell.published is not None:
        row["published"] = cell.published._asdict()
    row["missing_seeds"] = [seed for seed in cell.folders if seed not in runs]
    row["seeds"] = {str(seed): _seed_row(run) for seed, run in runs.items()}
    if runs:
        first = next(iter(runs.values())).result
        scores = [run.scores for run in runs.values()]
        row |= {name: first[name] for name in ("metric", "norm", "test_query", "hardware", "versions")}
        row["commits"] = sorted({run.result["commit"] for run in runs.values()})
        row["train_tasks"] = first["config"]["train_tasks"]
        row["data"] = first["config"]["data"]
        row["over_tasks"] = over_tasks(scores)._asdict()
        across = over_seeds(scores)
        row["over_seeds"] = {**across._asdict(), "interval": across.interval if len(scores) > 1 else None}
        row["wall_seconds"] = sum(run.result["wall_seconds"] for run in runs.values())
    return row


def _seed_row(run: Run) -> dict[str, Any]:
    task = estimate(run.scores)
    names = ("wall_seconds", "best_step", "validation_score", "params_sha256", "command")
    return {"score": task.mean, "interval": task.interval, **{name: run.result[name] for name in names}}


def markdown(title: str, rows: Iterable[dict[str, Any]], metric: str, notes: Iterable[str] = ()) -> str:
    """The table: a line per learner, per shot and protocol our value with both intervals beside the published one."""
    rows = list(rows)
    learners = list(dict.fromkeys(row["learner"] for row in rows))
    columns = sorted(dict.fromkeys((row["shot"], row["protocol"]) for row in rows), key=lambda column: column[0])
    compared = {column for column in columns if any(r["published"] and (r["shot"], r["protocol"]) == column for r in rows)}
    cells = {(row["learner"], row["shot"], row["protocol"]): row for row in rows}
    heads = [head for column in columns for head in (_head(*column), "published")[: 1 + (column in compared)]]
    lines = [f"### {title}", "", f"| learner | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for learner in learners:
        texts = []
        for column in columns:
            texts += _cell_texts(cells.get((learner, *column)), metric)[: 1 + (column in compared)]
        lines.append(f"| {LABELS[learner]} | {' | '.join(texts)} |")
    return "\n".join([*lines, "", *(f"{note}  " for note in [*_facts(rows), *notes])]).rstrip() + "\n"


def _head(shot: int, protocol: str) -> str:
    return f"{shot}-shot, {protocol}" if protocol else f"{shot}-shot"


def _cell_texts(row: dict[str, Any] | None, metric: str) -> tuple[str, str]:
    if row is None:
        return "–", "–"
    published = row["published"]
    theirs = "–" if published is None else _value(published["mean"], published["interval"], metric)
    if not row["seeds"]:
        return "missing", theirs
    ours = _value(row["over_tasks"]["mean"], row["over_tasks"]["interval"], metric)
    across = row["over_seeds"]["interval"]
    seeds = "one seed" if across is None else f"{_number(across, metric)} over seeds"
    missing = f", {len(row['missing_seeds'])} missing" if row["missing_seeds"] else ""
    return f"**{ours}** ({seeds}{missing})", theirs


def _value(mean: float, interval: float | None, metric: str) -> str:
    return _number(mean, metric) + ("" if interval is None else f" ± {_number(interval, metric)}")


def _number(value: float, metric: str) -> str:
    if not math.isfinite(value):
        return "∞"
    return f"{100 * value:.2f}" if metric == "accuracy" else f"{value:.4f}"


def _facts(rows: list[dict[str, Any]]) -> list[str]:
    """What every number must say of itself."""
    done = [row for row in rows if row["seeds"]]
    if not done:
        return ["No run is finished yet."]

    def all_of(name: str) -> str:
        return ", ".join(str(value) for value in dict.fromkeys(row[name] for row in done))

    seeds = sorted({seed for row in done for seed in row["seeds"]}, key=int)
    tasks = ", ".join(dict.fromkeys(str(run["over_tasks"]["count"] // len(run["seeds"])) for run in done))
    commits = ", ".join(dict.fromkeys(commit for row in done for commit in row["commits"]))
    unit = "5-way accuracy in %" if done[0]["metric"] == "accuracy" else "Mean squared error"
    hours = sum({(row["learner"], row["shot"]): row["wall_seconds"] for row in done}.values()) / 3600
    budgets = {row["train_tasks"]: [] for row in done}
    for row in done:
        budgets[row["train_tasks"]] += [LABELS[row["learner"]]] * (row["learner"] not in ("random", "scratch"))
    trained = "; ".join(f"{count} ({', '.join(dict.fromkeys(names))})" for count, names in budgets.items() if names)
    return [
        f"{unit} ± 95 % interval over pooled test tasks (and, in brackets, over seeds); {tasks} test tasks a seed, "
        f"seeds {', '.join(seeds)}; data {all_of('data')}; norm {all_of('norm')}; {all_of('test_query')} queries.",
        f"Training tasks: {trained}.",
        f"Hardware {all_of('hardware')}; {all_of('versions')}; commit {commits}; training took {hours:.2f} h in all.",
    ]
