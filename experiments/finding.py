"""The folder of a finding beyond the paper: table.md and table.json of a measurement, beside figure.png and finding.md.

A table.json here says `"kind": "finding"`; what is concluded, and what would change that, is finding.md, written by
hand.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from experiments import cli
from oplstm_jax.files import write_text
from oplstm_jax.origin import facts
from oplstm_jax.statistics import Estimate, known

KIND = "finding"


class Finding(NamedTuple):
    """A table. rows: a label, then a number, an `Estimate`, a text or None in each further column.

    about: what was measured, on what and how much of it, as a sentence.
    """

    title: str
    heads: tuple[str, ...]
    rows: list[tuple]
    about: str


def destination() -> Path:
    """The folder that --to names. Asks for the facts too, so that the commit is the one that began."""
    to = Path(cli.required("to"))
    facts()
    return to


def write_finding(found: Finding, to: Path) -> str:
    """Writes table.json and table.md into a folder, which is made if it is not there; returns the Markdown."""
    table = as_table(found)
    to.mkdir(parents=True, exist_ok=True)
    write_text(to / "table.json", json.dumps(table, indent=1) + "\n")
    text = markdown(table)
    write_text(to / "table.md", text)
    return text


def as_table(found: Finding) -> dict[str, Any]:
    """The content of table.json: the finding, and which command made it where."""
    return {"kind": KIND, **found._asdict(), "rows": [list(map(_plain, row)) for row in found.rows], "origin": facts()}


def is_finding(folder: Path) -> bool:
    """Whether the table.json of a folder is one of these, and not that of a table of the paper."""
    try:
        return json.loads((folder / "table.json").read_text()).get("kind") == KIND
    except (ValueError, AttributeError):
        return False


def markdown(table: dict[str, Any]) -> str:
    """The text of a table.json."""
    lines = [f"### {table['title']}", "", f"| {' | '.join(table['heads'])} |", "|---" * len(table["heads"]) + "|"]
    lines += [f"| {' | '.join(map(_text, row))} |" for row in table["rows"]]
    origin = table["origin"]
    made = f"{origin['hardware']}; {origin['versions']}; commit {origin['commit']}; {origin['date']}."
    return "\n".join([*lines, "", f"{table['about']}  ", f"`{origin['command']}`  ", made]) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return {**value._asdict(), "interval": known(value.interval)}
    return value


def _text(value: Any) -> str:
    if isinstance(value, dict):
        interval = "" if value["interval"] is None else f" ± {value['interval']:.2g}"
        return f"{value['mean']:.3g}{interval}"
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
