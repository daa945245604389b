"""All tables as one self-contained web page.

    python -m experiments.report --results=results --to=report.html

--results is a folder with a folder per table, as `experiments.reproduce` and `experiments.publish` leave them. The page
shows every cell beside the published number, with the figures inside it.
"""

import json
from pathlib import Path

from absl import flags

from experiments import cli
from experiments.finding import is_finding
from experiments.table import FIGURES
from experiments.tables import GROUPS, TABLES
from oplstm_jax import page
from oplstm_jax.files import check_writable, write_text

OF_CELL = ("learner", "shot", "protocol", "metric", "seeds", "missing_seeds", "published")
TITLE = "Are LSTMs good few-shot learners? Reproduced in JAX"


def main() -> None:
    print(write_report(Path(flags.FLAGS.results), Path(flags.FLAGS.to)))


def write_report(results: Path, to: Path) -> str:
    """Writes the page of all tables below a folder; returns a line about it. Raises ValueError if there are none."""
    check_writable(to)
    tables = {file.parent: _read(file) for file in results.rglob("table.json") if not is_finding(file.parent)}
    if not tables:
        raise ValueError(f"{results}: no table.json there: expected folders that experiments.reproduce has written")
    order = [*TABLES, ""]
    place = {folder: order.index(table["name"] if table["name"] in TABLES else "") for folder, table in tables.items()}
    sections = [
        _section(folder, tables[folder]) for folder in sorted(tables, key=lambda folder: (place[folder], str(folder)))
    ]
    names = {table["name"] for table in tables.values()}
    write_text(to, page.render(TITLE, sections, [name for name in GROUPS["all"] if name not in names]))
    return f"{len(sections)} table{'s' * (len(sections) != 1)} -> {to}"


def _read(file: Path) -> dict:
    """A table. Raises ValueError if the file is damaged or of another kind."""
    try:
        table = json.loads(file.read_text())
        for cell in table["cells"]:
            for name in OF_CELL:
                cell[name]  # a KeyError names what is missing
        texts = {name: str(table[name]) for name in ("name", "title")}
        return {**table, **texts, "fraction": float(table["fraction"])}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: cannot be read as a table: {error}") from None
    except KeyError as error:
        raise ValueError(f"{file}: cannot be read as a table: it has no {error}") from None


def _section(folder: Path, table: dict) -> page.Section:
    return page.Section(table, {name: (folder / name).read_bytes() for name in FIGURES if (folder / name).exists()})


if __name__ == "__main__":
    flags.DEFINE_string("results", "results", "Folder with a folder per table.")
    flags.DEFINE_string("to", "report.html", "The page to write.")
    cli.run(main)
