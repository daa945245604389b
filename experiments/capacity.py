"""Known update rules against the widths of the LSTM that is fitted to them: what `analyse rule_fit` measures."""

import sys
from pathlib import Path

import jax
import numpy as np

from experiments.finding import Finding
from oplstm_jax import figures_beyond
from oplstm_jax.analysis.rule_fit import PASSES, TEACHERS, fit_all
from oplstm_jax.learners.rules import UpdateRule, coordinate_lstm, full_lstm
from oplstm_jax.params import named_arrays
from oplstm_jax.statistics import Estimate, estimate

COORDINATE = ((1,), (1, 1), (2, 1), (5, 1), (10, 1), (20, 1), (5, 5, 1), (5, 5, 5, 1))
FULL = ((20, 5),)


def rule_fits(to: Path, seeds: int, steps: int) -> Finding:
    """Fits every size to every rule, draws figure.png and returns the table."""
    named = [(_name(sizes), coordinate_lstm(sizes)) for sizes in COORDINATE]
    named += [(f"full {_name(sizes)}", full_lstm(sizes)) for sizes in FULL]
    rows: list[tuple] = []
    for name, rule in named:
        found = np.asarray(jax.jit(lambda rule=rule: fit_all(rule, seeds, steps))())
        rows.append((name, _parameters(rule), *map(estimate, found)))
        print(*rows[-1][:2], *np.mean(found, 1), file=sys.stderr, flush=True)
    _draw(to / "figure.png", rows)
    about = (
        f"Squared error over the variance of the rule's outputs, on fresh signals of {PASSES} passes; mean and 95 % "
        f"interval over {seeds} random starts, {steps} steps of Adam each. Widths of the cells; 'full' reads all 5 "
        f"units at once."
    )
    return Finding("Known update rules fitted by LSTMs", ("widths", "parameters", *TEACHERS), rows, about)


def _draw(path: Path, rows: list[tuple]) -> None:
    """The error of each rule by the width of the first of two layers."""
    names = [_name(sizes) for sizes in COORDINATE if len(sizes) == 2]
    chosen = [row for row in rows if row[0] in names]
    lines: dict[str, list[tuple[float, Estimate]]] = {
        teacher: [(int(row[0].split("-")[0]), row[2 + place]) for row in chosen]
        for place, teacher in enumerate(TEACHERS)
    }
    figures_beyond.lines(path, {"widths u-1": lines}, "width u", "unexplained share of the rule's variance", log=True)


def _name(sizes: tuple[int, ...]) -> str:
    return "-".join(map(str, sizes))


def _parameters(rule: UpdateRule) -> int:
    return sum(array.size for array in named_arrays(rule.init(jax.random.key(0), 2, 5)).values())
