"""The tables of the paper: which learners, from which configuration, tested how, beside which published numbers."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from experiments import table_figures
from experiments.configs import glyphs, natural, omniglot, omniglot_conv4, sine
from oplstm_jax.published import NATURAL, OMNIGLOT, SINE, Published
from oplstm_jax.report import Cell


# What may lie in the folder of a table beside its runs.
FILES = ("table.md", "table.json", "learning_curves.png", "fitted_waves.png", "episodes.png")


@dataclasses.dataclass(frozen=True)
class Test:
    """One way of testing a run. label: the column's, where there is more than one.

    folder: below the run's, where result and scores lie; empty for the test that ends the run itself.
    changes: number of shots -> fields that differ from the run's configuration.
    """

    label: str = ""
    folder: str = ""
    changes: Callable[[int], dict] = lambda shot: {}
    published: dict[tuple[str, int], Published] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Part:
    """Runs that share a configuration file and data. data: empty for the configuration's own. name: of their folder."""

    get_config: Callable[[str], ConfigDict]
    tests: tuple[Test, ...]
    name: str = ""
    data: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """One table: parts, each with all learners at all shots, and a figure of its own."""

    title: str
    parts: tuple[Part, ...]
    learners: tuple[str, ...]
    shots: tuple[int, ...]
    draw: Callable[[Path, list[Cell]], None] = table_figures.episodes


NATURAL_LEARNERS = tuple(natural.LEARNERS)
NATURAL_DATA = {"mini": "miniimagenet"}  # the paper's short names, where they are not the set's own


def make_table(name: str, data: tuple[str, ...]) -> Table:
    """The table called `name`; data: what to use instead of the configuration's own, two sets for within and cross.

    Raises ValueError for a wrong number of data sets.
    """
    needed = {"within": (1, 2), "cross": (2,)}.get(name, (0, 1))
    if len(data) not in needed:
        counts = " or ".join(map(str, needed))
        raise ValueError(f"flag --data names {len(data)} sets: table {name} needs {counts}, such as mini,cub")
    return TABLES[name](*data)


def _sine(data: str = "") -> Table:
    parts = (Part(sine.get_config, (Test(published=SINE),), data=data),)
    return Table("Few-shot sine regression", parts, tuple(sine.LEARNERS), (5, 10, 20), table_figures.waves)


def _omniglot(data: str = "") -> Table:
    parts = (Part(omniglot.get_config, _both_protocols("", OMNIGLOT), data=data),)
    return Table("5-way Omniglot, fully connected base-learner", parts, tuple(omniglot.LEARNERS), (1, 5))


def _omniglot_conv4(data: str = "") -> Table:
    parts = (Part(omniglot_conv4.get_config, _both_protocols("", {}), data=data),)
    return Table("5-way Omniglot, Conv-4", parts, ("op_lstm_head", "protonet"), (1,))


def _glyphs(data: str = "") -> Table:
    parts = (Part(glyphs.get_config, (Test(),), data=data),)
    return Table("5-way glyphs, a small Conv-4", parts, ("protonet", "op_lstm_head", "pi_lstm"), (1,))


def _within(*names: str) -> Table:
    parts = tuple(
        Part(natural.get_config, _both_protocols(f"{name}, ", NATURAL.get((name, name), {})), Path(name).stem, _set(name))
        for name in names
    )
    return Table(f"5-way {' and '.join(names)}, Conv-4{_stand_in(names)}", parts, NATURAL_LEARNERS, (1, 5))


def _cross(first: str, second: str) -> Table:
    parts = tuple(
        Part(natural.get_config, (_across(source, target),), Path(source).stem, _set(source))
        for source, target in ((first, second), (second, first))
    )
    return Table(f"5-way across {first} and {second}, Conv-4{_stand_in((first, second))}", parts, NATURAL_LEARNERS, (1, 5))


def _both_protocols(label: str, published: dict[tuple[str, int], Published]) -> tuple[Test, ...]:
    """With the 15 queries per class of training, and with k queries per class, as the paper tests within a data set."""
    as_published = Test(f"{label}k queries", "k_queries", lambda shot: {"test_query": shot}, published)
    return Test(f"{label}15 queries"), as_published


def _across(source: str, target: str) -> Test:
    published = NATURAL.get((source, target), {})
    return Test(f"{source} → {target}", f"on_{Path(target).stem}", lambda shot: {"data": _set(target)}, published)


def _set(name: str) -> str:
    return NATURAL_DATA.get(name, name)


def _stand_in(names: tuple[str, ...]) -> str:
    return "" if set(names) <= {"mini", "cub"} else " (stand-in: not the paper's data)"


TABLES: dict[str, Callable[..., Table]] = {
    "sine": _sine,
    "omniglot": _omniglot,
    "omniglot_conv4": _omniglot_conv4,
    "within": _within,
    "cross": _cross,
    "glyphs": _glyphs,
}
