"""Tables as one web page: every cell beside the published number, figures inside, nothing loaded from elsewhere."""

import base64
import html
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from oplstm_jax import incomplete
from oplstm_jax.progress import clock
from oplstm_jax.report import label_of, run_name, verdict
from oplstm_jax.tabular import Row, facts, number, value

TEMPLATE = string.Template((Path(__file__).parent / "page.html").read_text())
CAPTIONS = {
    "shots.png": "Test score against shots; bars: 95 % intervals over seeds, hollow markers: published, tested alike.",
    "updates.png": "OP-LSTM's updates beside gradient descent's, and its weights beside prototypes, over training.",
    "seeds.png": "Test score of every seed, a dot each, and their mean; dashed: chance, and what bounds learners.",
    "figure.png": "Validation score against training tasks or time, a line per seed.",
    "learning_curves.png": "Validation score over meta-training, a line per seed.",
    "fitted_waves.png": "One test task: what each learner makes of the support points.",
    "episodes.png": "Training tasks, support left and query right.",
}
HOW_TO_READ = """
<p>Every cell is tested on one fixed list of tasks. The interval over tasks is the paper's: it pools the test tasks of
all seeds. The interval over seeds is the one to expect of another training run. Both are 95 % Student-t intervals.</p>
<p><b>Test.</b> Difference is ours minus published, with its 95 % interval, from Welch's t-test: two-sided, significant
below p = 0.05. Its error has the spread of our seeds, the error of our list of test tasks and the published interval.
The paper does not state how its runs differ from one another; they are taken to differ as ours do, and where it gives
no interval (marked *) its error over tasks is taken to be ours. With three seeds only large differences are found. Of
many tests, one in twenty is significant by chance.</p>
"""


class Section(NamedTuple):
    """One table of the report: what its table.json holds, and its figures as name -> bytes of a PNG."""

    table: dict[str, Any]
    figures: dict[str, bytes]


def render(title: str, sections: Sequence[Section], not_run: Iterable[str] = ()) -> str:
    """The page as HTML. not_run: names of tables of which nothing has been run."""
    names = [f'<li><a href="#table-{n}">{_text(s.table["title"])}</a></li>' for n, s in enumerate(sections)]
    parts = [f"<h1>{_text(title)}</h1>", _overview(sections), f"<nav><ul>{''.join(names)}</ul></nav>"]
    parts += [HOW_TO_READ, _incomplete(incomplete.notes([s.table for s in sections], not_run))]
    parts += [_section(number, section) for number, section in enumerate(sections)]
    return TEMPLATE.substitute(title=_text(title), body="\n".join(parts))


def _overview(sections: Sequence[Section]) -> str:
    """How many cells there are, and how those that are compared came out: each once, in however many tables it is."""
    found = [(row, verdict(row, section.table)[0]) for section in sections for row in section.table["cells"]]
    missing = sum(kind == "missing" for _, kind in found)
    compared = {_result(row): kind for row, kind in found if kind in ("better", "worse", "equal")}
    better, worse, equal = (list(compared.values()).count(kind) for kind in ("better", "worse", "equal"))
    return (
        f"<p>{len(found)} cells in {len(sections)} tables: {len(found) - missing} run, {missing} missing. "
        f"{len(compared)} results are compared with a published number: {equal} show no significant difference, "
        f"better: {better}, worse or different: {worse}.</p>"
    )


def _result(row: Row) -> tuple:
    """What is the same where a cell is in two tables."""
    return row["learner"], row["shot"], row["test_query"], row["over_tasks"]["mean"]


def _incomplete(notes: list[str]) -> str:
    items = "".join(f"<li>{_text(note)}</li>" for note in notes) or "<li>Nothing.</li>"
    summary = f"<summary>Missing, reduced or stand-in ({len(notes)})</summary>"
    return f"<details{' open' * (len(notes) < 12)}>{summary}<ul>{items}</ul></details>"


def _section(position: int, section: Section) -> str:
    table, rows = section.table, section.table["cells"]
    notes = "".join(f"<p class=note>{_text(note)}</p>" for note in facts(rows))
    figures = "".join(_figure(name, section.figures[name]) for name in CAPTIONS if name in section.figures)
    heads = ["cell", "ours ± over tasks", "over seeds", "published", "difference", "verdict"]
    compared = _table(heads, [_compared(row, table) for row in rows], {5: "verdict text"})
    parts = [f'<h2 id="table-{position}">{_text(table["title"])}</h2>', compared, notes, _wall_times(rows), figures]
    return "\n".join([*parts, _runs(rows)])


def _compared(row: Row, table: Mapping[str, Any]) -> tuple[str, list[str]]:
    """(class, texts) of the line of one cell."""
    kind, words = verdict(row, table)
    published, comparison, metric = row["published"], row.get("comparison"), row["metric"]
    ours = seeds = difference = "–"
    if row["seeds"]:
        ours = value(row["over_tasks"]["mean"], row["over_tasks"]["interval"], metric)
        across = row["over_seeds"]["interval"]
        seeds = f"± {number(across, metric)} ({len(row['seeds'])})" if across is not None else "one seed"
    if comparison and not table.get("stand_in"):
        difference = value(comparison["difference"], comparison["interval"], metric) + " *" * comparison["assumed"]
    theirs = value(published["mean"], published["interval"], metric) if published else "–"
    return kind, [cell_name(row), ours, seeds, theirs, difference, words]


def _wall_times(rows: list[Row]) -> str:
    """Wall time of a run beside the authors', where they give one."""
    seconds = {
        (r.get("part", ""), r["learner"], r["shot"]): r.get("published_seconds")
        for r in rows
        if r.get("published_seconds")
    }
    lines = []
    for row in {(r.get("part", ""), r["learner"], r["shot"]): r for r in rows if r["seeds"]}.values():
        theirs = seconds.get((row.get("part", ""), row["learner"], row["shot"]))
        ours = clock(row["wall_seconds"] / len(row["seeds"]))
        lines.append(("", [run_name(row), ours, clock(theirs) if theirs else "–", row["hardware"]]))
    heads = ["run", "training, ours", "authors' (RTX 2080 Ti)", "our hardware"]
    return (
        f"<details><summary>Wall time of a run (h:mm:ss)</summary>{_table(heads, lines, {3: 'text'})}</details>"
        if lines
        else ""
    )


def _runs(rows: list[Row]) -> str:
    """Every run behind the table, with its command."""
    heads = ["run", "score", "test tasks", "queries", "norm", "training, own share", "commit", "hardware", "command"]
    lines = []
    for row in rows:
        for seed, run in row["seeds"].items():
            texts = [
                f"{cell_name(row)}, seed {seed}",
                value(run["score"], run["interval"], row["metric"]),
                run.get("test_tasks", ""),
            ]
            texts += [
                row["test_query"],
                row["norm"],
                clock(run["wall_seconds"]),
                run.get("commit", ""),
                run.get("hardware", ""),
            ]
            lines.append(("", [*map(str, texts), run["command"]]))
    table = _table(heads, lines, {8: "text"}) if lines else "<p>None.</p>"
    return f"<details><summary>Every run ({len(lines)})</summary>{table}</details>"


def _table(heads: list[str], lines: list[tuple[str, list[str]]], classes: dict[int, str]) -> str:
    """heads as labels of every field too, for narrow screens; classes: of columns."""
    marks = [f' class="{classes[n]}"' if n in classes else "" for n in range(len(heads))]
    top = "".join(f"<th{mark}>{_text(head)}</th>" for head, mark in zip(heads, marks, strict=True))
    body = []
    for kind, texts in lines:
        fields = zip(heads, marks, texts, strict=True)
        cells = "".join(f'<td{mark} data-label="{_text(head)}">{_text(text)}</td>' for head, mark, text in fields)
        body.append(f'<tr class="{kind}">{cells}</tr>')
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _figure(name: str, image: bytes) -> str:
    data = base64.b64encode(image).decode()
    caption = _text(CAPTIONS[name])
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )


def cell_name(row: Row) -> str:
    """Such as "OP-LSTM, 1-shot, k queries"."""
    return f"{label_of(row['learner'])}, {row['shot']}-shot{', ' * bool(row['protocol'])}{row['protocol']}"


def _text(text: str) -> str:
    return html.escape(str(text), quote=True)
