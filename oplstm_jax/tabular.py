"""Cells (`oplstm_jax.report.summarise`) -> a table beside the published numbers, as Markdown, LaTeX and CSV."""

import csv
import io
import math
from collections.abc import Iterable
from typing import Any

from oplstm_jax.records import entries
from oplstm_jax.report import UNTRAINED, label_of, names_by

Row = dict[str, Any]
UNITS = {
    "accuracy": "5-way accuracy in %",
    "mse": "Mean squared error",
    "cosine": "Cosine of the angle",
    "ratio": "ratio of Frobenius norms",
}
COLUMNS = (
    "learner shot protocol metric score interval_tasks interval_seeds published published_interval difference "
    "difference_interval p seeds missing_seeds test_tasks train_tasks fraction norm test_query data hardware commits "
    "wall_seconds"
).split()


def markdown(title: str, rows: Iterable[Row], notes: Iterable[str] = ()) -> str:
    """The table: a line per learner, per shot and protocol our value with both intervals beside the published one."""
    rows = list(rows)
    heads, body = _grid(rows, bold="**{}**".format)
    lines = [f"### {title}", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [f"| {' | '.join(texts)} |" for texts in body]
    return "\n".join([*lines, "", *(f"{note}  " for note in [*facts(rows), *notes])]).rstrip() + "\n"


def latex(title: str, rows: Iterable[Row]) -> str:
    """The same as a LaTeX `table` that needs no packages."""
    rows = list(rows)
    heads, body = _grid(rows, bold="\\textbf{{{}}}".format)
    lines = [" & ".join(map(_escaped, texts)) + r" \\" for texts in (heads, *body)]
    start = [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}", r"\hline"]
    caption = rf"\caption{{{_escaped(' '.join([f'{title}.', *facts(rows)]))}}}"
    return "\n".join(
        [*start, lines[0], r"\hline", *lines[1:], r"\hline", r"\end{tabular}", caption, r"\end{table}", ""]
    )


def csv_text(rows: Iterable[Row]) -> str:
    """One line per cell with the fields of `COLUMNS`, accuracies in [0, 1], empty where unknown."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(_flat(row) for row in rows)
    return file.getvalue()


def _flat(row: Row) -> Row:
    flat = {**row, "seeds": " ".join(row["seeds"]), "missing_seeds": " ".join(map(str, row["missing_seeds"]))}
    published, comparison = row["published"] or {}, row.get("comparison") or {}
    flat |= {"published": published.get("mean"), "published_interval": published.get("interval")}
    flat |= {"difference_interval": comparison.get("interval"), "difference": comparison.get("difference")}
    if row["seeds"]:
        flat |= {"score": row["over_tasks"]["mean"], "interval_tasks": row["over_tasks"]["interval"]}
        flat |= {"interval_seeds": row["over_seeds"]["interval"], "test_tasks": row["over_tasks"]["count"]}
        flat |= {"commits": " ".join(row["commits"]), "p": comparison.get("p")}
    return flat


def _grid(rows: list[Row], bold) -> tuple[list[str], list[list[str]]]:
    """Heads and lines of cells; a column of published values only where there are any."""
    columns = sorted(dict.fromkeys((row["shot"], row["protocol"]) for row in rows), key=lambda column: column[0])
    compared = {
        column for column in columns if any(r["published"] and (r["shot"], r["protocol"]) == column for r in rows)
    }
    cells = {(row["learner"], row["shot"], row["protocol"]): row for row in rows}
    heads = [head for column in columns for head in (_head(*column), "published")[: 1 + (column in compared)]]
    body = []
    for learner in dict.fromkeys(row["learner"] for row in rows):
        texts = [label_of(learner)]
        for column in columns:
            texts += _cell_texts(cells.get((learner, *column)), bold)[: 1 + (column in compared)]
        body.append(texts)
    return ["learner", *heads], body


def _head(shot: int, protocol: str) -> str:
    return f"{shot}-shot, {protocol}" if protocol else f"{shot}-shot"


def _cell_texts(row: Row | None, bold) -> tuple[str, str]:
    if row is None:
        return "–", "–"
    published, metric = row["published"], row["metric"]
    theirs = "–" if published is None else value(published["mean"], published["interval"], metric)
    if not row["seeds"]:
        return "missing", theirs
    ours = value(row["over_tasks"]["mean"], row["over_tasks"]["interval"], metric)
    across = row["over_seeds"]["interval"]
    seeds = "one seed" if across is None else f"{number(across, metric)} over seeds"
    missing = f", {len(row['missing_seeds'])} missing" if row["missing_seeds"] else ""
    return f"{bold(ours)} ({seeds}{missing})", theirs


def value(mean: float, interval: float | None, metric: str) -> str:
    """A mean and its interval, such as "84.27 ± 0.87"."""
    return number(mean, metric) + ("" if interval is None else f" ± {number(interval, metric)}")


def number(x: float, metric: str) -> str:
    """Accuracies in percent, all else as it is."""
    if not math.isfinite(x):
        return "∞"
    return f"{100 * x:.2f}" if metric == "accuracy" else f"{x:.4f}"


def facts(rows: list[Row]) -> list[str]:
    """What every number must say of itself, as sentences."""
    done = [row for row in rows if row["seeds"]]
    if not done:
        return ["No run is finished yet."]

    def all_of(name: str) -> str:
        return ", ".join(entries(row[name] for row in done))

    seeds = sorted({seed for row in done for seed in row["seeds"]}, key=int)
    tasks = ", ".join(dict.fromkeys(str(run["over_tasks"]["count"] // len(run["seeds"])) for run in done))
    commits = ", ".join(dict.fromkeys(commit for row in done for commit in row["commits"]))
    unit = "; ".join(dict.fromkeys(UNITS[row["metric"]] for row in done))
    return [
        f"{unit} ± 95 % interval over pooled test tasks (and, in brackets, over seeds); {tasks} test tasks a seed, "
        f"seeds {', '.join(seeds)}; data {all_of('data')}; norm {_norms(done)}; {all_of('test_query')} queries.",
        f"Training tasks: {_budgets(done)}.",
        f"Hardware {all_of('hardware')}; {all_of('versions')}; commit {commits}; "
        f"training took {_hours(done):.2f} h in all.",
    ]


def _norms(done: list[Row]) -> str:
    """The normalisation of all rows; if they differ, of which learners or, where one has several, of which columns."""
    if len({row["norm"] for row in done}) == 1:
        return done[0]["norm"]
    by_learner = len({(row["learner"], row["norm"]) for row in done}) == len({row["learner"] for row in done})
    names = [label_of(row["learner"]) if by_learner else f'"{row["protocol"]}"' for row in done]
    return ", ".join(_grouped(zip([row["norm"] for row in done], names, strict=True)))


def _budgets(done: list[Row]) -> str:
    trained = [row for row in done if row["learner"] not in UNTRAINED]
    return "; ".join(_grouped((_budget(row, trained), _name(row, trained)) for row in trained))


def _budget(row: Row, trained: list[Row]) -> str:
    """Training tasks of a row and, where not all had the same part of their full number, which it had."""
    fraction = row.get("fraction")
    alike = all(other.get("fraction") == fraction for other in trained)
    return str(row["train_tasks"]) + ("" if alike or fraction in (None, 1) else f" = {fraction:.3g} of the full number")


def _name(row: Row, trained: list[Row]) -> str:
    """A learner, and the shots where these tell its budgets apart."""
    own = [other for other in trained if other["learner"] == row["learner"]]
    budgets, shots = {other["train_tasks"] for other in own}, {(other["shot"], other["train_tasks"]) for other in own}
    apart = len(budgets) > 1 and len(shots) == len({shot for shot, _ in shots})
    return label_of(row["learner"]) + f", {row['shot']}-shot" * apart


def _grouped(pairs: Iterable[tuple[object, str]]) -> list[str]:
    """Values, each with the names it belongs to in brackets."""
    return [f"{found} ({', '.join(names)})" for found, names in names_by(pairs).items()]


def _hours(done: list[Row]) -> float:
    """Training time of the runs, each counted once however often it was tested."""
    runs = {(row.get("part"), row["learner"], row["shot"]): row["wall_seconds"] for row in done}
    return sum(runs.values()) / 3600


def _escaped(text: str) -> str:
    for sign in "&%$#_":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("±", "$\\pm$").replace("∞", "$\\infty$").replace("–", "--").replace("→", "$\\to$")
