"""Finished runs -> cells of a table, with all that a number must say of itself, beside the published values."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from oplstm_jax.problem import LARGER_IS_BETTER, meta_steps
from oplstm_jax.published import Published
from oplstm_jax.records import complete, entries, own_seconds, read_result, read_scores
from oplstm_jax.statistics import Estimate, compare, estimate, known, list_error, over_seeds, over_tasks

LABELS = {
    "lstm": "plain LSTM (sequential)",
    "pi_lstm": "plain LSTM (mean-pooled)",
    "op_lstm": "OP-LSTM",
    "op_lstm_head": "OP-LSTM (last layer)",
    "op_lstm_general": "OP-LSTM (any layers)",
    "op_lstm_sequential": "OP-LSTM (one example at a time)",
    "maml": "MAML",
    "protonet": "ProtoNet",
    "sap": "SAP",
    "warp_maml": "Warp-MAML",
    "finetune": "fine-tuning",
    "scratch": "train from scratch",
    "random": "random guessing",
    # variants of op_lstm_general
    "head_only": "OP-LSTM, last layer",
    "last_block": "OP-LSTM, last block and layer",
    "all_layers": "OP-LSTM, all layers",
}

UNTRAINED = ("scratch", "random")  # they have no meta-parameters: their runs are the same for every seed
# What a table says of every run: in its result, or in the configuration there.
OF_A_TABLE = "norm test_query data train_tasks meta_batch hardware versions commit command".split()
OF_A_RUN = {"seed", "features_from", "log_every", "patience_tasks", "tasks_at_once"}  # what may differ in a cell
SIGNIFICANT = 0.05  # the p value below which a difference from a published number counts


class Run(NamedTuple):
    """One finished run: its result and the score of each test task [n]."""

    result: dict[str, Any]
    scores: np.ndarray


class Cell(NamedTuple):
    """One cell of a table: a learner at a number of shots, and the folders of its runs by seed.

    protocol: how it was tested, where a table shows more than one way. metric: of its scores.
    full_tasks: training tasks of its full budget, None where nothing is said of that. test: the folder below each run's
    in which this test lies, if it is not the one that ended the run.
    """

    learner: str
    shot: int
    folders: dict[int, Path]
    published: Published | None
    protocol: str = ""
    metric: str = "accuracy"
    full_tasks: int | None = None
    test: str = ""

    def runs(self) -> dict[int, Run]:
        """The finished runs by seed, with the scores of this test."""
        found = {seed: read_run(folder / self.test) for seed, folder in self.folders.items()}
        return {seed: run for seed, run in found.items() if run is not None}


def label_of(learner: str) -> str:
    """What tables and figures call a learner: of one's own, its name."""
    return LABELS.get(learner, learner)


def run_name(row: Mapping[str, Any]) -> str:
    """What pages call the run behind a row of a table, such as "cub, OP-LSTM, 1-shot"."""
    return ", ".join(filter(None, (row.get("part"), label_of(row["learner"]), f"{row['shot']}-shot")))


def names_by(pairs: Iterable[tuple[Any, str]]) -> dict[Any, list[str]]:
    """(value, name) -> the names of each value, each once."""
    found: dict[Any, dict[str, None]] = {}
    for value, name in pairs:
        found.setdefault(value, {})[name] = None
    return {value: list(names) for value, names in found.items()}


def read_run(folder: Path) -> Run | None:
    """The run in a workdir, None while it is not finished."""
    result = read_result(folder)
    return None if result is None else Run(result, read_scores(folder))


def check_seeds(name: str | Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Raises ValueError for results of one cell whose configurations differ in more than the seed.

    Data is told apart by the list of test tasks where that is known. How often a run reports is not compared.
    """
    for first, other in itertools.combinations(map(_about, results), 2):
        alike = {"data"} if "task_list" in first and "task_list" in other else {"task_list"}
        for field in sorted((first.keys() & other.keys()) - OF_A_RUN - alike):
            if first[field] != other[field]:
                seeds = f"seeds {first.get('seed')} and {other.get('seed')}"
                differ = f"{field} is {first[field]!r} and {other[field]!r}"
                raise ValueError(f"{name}: {seeds}: {differ}: expected runs that differ in their seeds alone")


def _about(result: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a run as it would be written today, and its list of test tasks if that is known."""
    tasks = {"task_list": result["task_list"]} if "task_list" in result else {}
    return {**complete(result["config"]), **tasks}


def summarise(cell: Cell) -> dict[str, Any]:
    """One cell as JSON: every seed's score, both intervals over what is finished, and the published value.

    Raises ValueError for runs that differ in more than their seeds, and for results that do not say what a table does.
    """
    runs = cell.runs()
    check_seeds(next(iter(cell.folders.values())), [run.result for run in runs.values()])
    about = {seed: _said(cell.folders[seed] / cell.test, run.result) for seed, run in runs.items()}
    row: dict[str, Any] = {"learner": cell.learner, "shot": cell.shot, "protocol": cell.protocol, "metric": cell.metric}
    row["published"] = None if cell.published is None else cell.published._asdict()
    row["missing_seeds"] = [seed for seed in cell.folders if seed not in runs]
    row["seeds"] = {str(seed): _seed_row(run, about[seed]) for seed, run in runs.items()}
    if runs:
        first = next(iter(about.values()))
        scores = [run.scores for run in runs.values()]
        row |= {name: first[name] for name in ("norm", "test_query", "data")}
        row["hardware"], row["versions"] = (_distinct(about.values(), name) for name in ("hardware", "versions"))
        row["commits"] = sorted({said["commit"] for said in about.values()})
        row["train_tasks"] = _trained_on(cell.learner, first)
        row["fraction"] = first["train_tasks"] / cell.full_tasks if cell.full_tasks else None
        row["over_tasks"] = over_tasks(scores)._asdict()
        across = over_seeds(scores)
        row["over_seeds"] = {**across._asdict(), "interval": known(across.interval)}
        row["list_error"] = list_error(scores)
        row["wall_seconds"] = sum(own_seconds(run.result) for run in runs.values())
        row["comparison"] = _comparison(cell, row)
    return row


def _comparison(cell: Cell, row: dict[str, Any]) -> dict[str, Any] | None:
    """Ours against the published value, None where there is none or a single seed."""
    if cell.published is None or row["over_seeds"]["interval"] is None:
        return None
    ours = Estimate(**row["over_seeds"])
    return compare(ours, row["list_error"], cell.published.mean, cell.published.interval)._asdict()


def _said(folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """What a result and its configuration say. Raises ValueError unless that is all that a table says of its runs."""
    said = {**result["config"], **result}
    if missing := [name for name in OF_A_TABLE if name not in said]:
        expected = "expected those fields in its configuration or among the facts of `finish`, see `oplstm_jax.origin`"
        raise ValueError(f"{folder}/result.json: does not say {', '.join(missing)}: {expected}")
    return said


def _trained_on(learner: str, said: Mapping[str, Any]) -> int:
    """Training tasks, which are whole meta-steps."""
    tasks, meta_batch = said["train_tasks"], said["meta_batch"]
    return tasks if learner in UNTRAINED else meta_steps(tasks, meta_batch) * meta_batch


def _distinct(about: Iterable[Mapping[str, Any]], name: str) -> str:
    return "; ".join(entries(said[name] for said in about))


def _seed_row(run: Run, said: Mapping[str, Any]) -> dict[str, Any]:
    task = estimate(run.scores)
    names = ("best_step", "validation_score", "params_sha256", "command", "commit", "hardware")
    return {
        "score": task.mean,
        "interval": task.interval,
        "test_tasks": task.count,
        "wall_seconds": own_seconds(run.result),
        **{name: said[name] for name in names},
    }


def fraction_of(row: Mapping[str, Any], table: Mapping[str, Any]) -> float:
    """Of the full training tasks, those of a cell: the table's unless it has its own."""
    own = row.get("fraction")
    return table["fraction"] if own is None else own


def verdict(row: Mapping[str, Any], table: Mapping[str, Any]) -> tuple[str, str]:
    """How a cell stands to the published value: (kind, words); kind is better, worse, equal, untested or missing."""
    comparison = row.get("comparison")
    if not row["seeds"]:
        return "missing", "missing"
    if table.get("stand_in"):
        return "untested", "stand-in: not compared"
    if row["published"] is None:
        return "untested", "nothing published"
    if comparison is None:
        return "untested", "one seed: not tested"
    p = f"p = {comparison['p']:.3f}" if comparison["p"] >= 0.001 else "p < 0.001"
    fraction = fraction_of(row, table)
    budget = "" if fraction == 1 else f" with {fraction:.3g} of the training tasks"
    if comparison["p"] >= SIGNIFICANT:
        return "equal", f"= no significant difference ({p}){budget}"
    if row["metric"] not in LARGER_IS_BETTER:
        return "worse", f"≠ differs ({p}){budget}"
    higher = (comparison["difference"] > 0) == LARGER_IS_BETTER[row["metric"]]
    return ("better", f"▲ better ({p}){budget}") if higher else ("worse", f"▼ worse ({p}){budget}")
