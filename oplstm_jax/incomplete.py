"""What tables lack, as notes: runs that are missing, budgets that are reduced, data that stands in for the paper's."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from oplstm_jax.report import UNTRAINED, fraction_of, names_by, run_name

Row = Mapping[str, Any]


def notes(tables: Iterable[Mapping[str, Any]], not_run: Iterable[str] = ()) -> list[str]:
    """A sentence for each thing that tables, as table.json holds them, lack.

    not_run: names of those without any run.
    """
    found = [f"Table not run: {name}." for name in not_run]
    for table in tables:
        found += [f"{table['title']}: {words}." for words in (*_stand_in(table), *_reduced(table), *_missing(table))]
    return found


def _stand_in(table: Mapping[str, Any]) -> list[str]:
    words = "the data stands in for the paper's; its numbers are not comparable"
    return [words] if table.get("stand_in") else []


def _reduced(table: Mapping[str, Any]) -> list[str]:
    """Which runs had less than the full training tasks; of what has not been run nothing is known."""
    trained = [row for row in table["cells"] if row["seeds"] and row["learner"] not in UNTRAINED]
    runs = _runs_by(trained, lambda row: fraction_of(row, table))
    which = {fraction: f"{names}: " if len(runs) > 1 else "" for fraction, names in runs.items()}
    return [f"{which[fraction]}{fraction:.3g} of the full training tasks" for fraction in runs if fraction != 1]


def _missing(table: Mapping[str, Any]) -> list[str]:
    runs = _runs_by(table["cells"], lambda row: ", ".join(map(str, row["missing_seeds"])))
    return [f"{names}: seeds {seeds} missing" for seeds, names in runs.items() if seeds]


def _runs_by(rows: Iterable[Row], what: Callable[[Row], Any]) -> dict[Any, str]:
    """Names of runs by what is true of them, each once, in however many ways it is tested."""
    return {value: "; ".join(names) for value, names in names_by((what(row), run_name(row)) for row in rows).items()}
