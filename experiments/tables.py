"""The tables of the paper: which learners, from which configuration, tested how, beside which published numbers."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from experiments import table_figures
from experiments.configs import glyphs, natural, omniglot, omniglot_conv4, sine
from experiments.configs.base import FLOORS
from experiments.similarity import METRICS, measure_run
from experiments.table import Part, Table, Test
from experiments.tables_beyond import BEYOND
from oplstm_jax import published
from oplstm_jax.published import NATURAL, OMNIGLOT, SECONDS, SINE, Published

NATURAL_LEARNERS = tuple(natural.LEARNERS)
NATURAL_DATA = {"mini": "miniimagenet"}  # the paper's short names, where they are not the set's own
SHORT_NAMES = {full: short for short, full in NATURAL_DATA.items()}
OF_WAVES = ("sine", "invariance_sine")
NATURAL_TABLES = ("within", "cross", "updates")
PAPERS_OWN = {"mini", "cub"}
PLAIN = ("pi_lstm", "lstm")
UPDATE_LABELS = {
    "gradient_cosine": "cosine with gradient descent",
    "gradient_ratio": "norm / gradient descent's",
    "prototype_cosine": "cosine with prototypes",
    "prototype_ratio": "norm / prototypes'",
}


def make_table(name: str, data: tuple[str, ...]) -> Table:
    """The table called `name`; data: what to use instead of the configuration's own, two sets for within and cross.

    Raises ValueError for a wrong number of data sets, and for other data than waves in a table of waves.
    """
    if len(data) not in DATA_SETS.get(name, (0, 1)):
        counts = " or ".join(map(str, DATA_SETS.get(name, (0, 1))))
        raise ValueError(f"flag --data names {len(data)} sets: table {name} needs {counts}, such as mini,cub")
    if name in OF_WAVES and set(data) - {"sine"}:
        raise ValueError(f"flag --data is {data[0]}: table {name} is of sine waves: expected no such flag")
    if name in NATURAL_TABLES:
        data = tuple(SHORT_NAMES.get(given, given) for given in data)
    return TABLES[name](*data)


def _sine(data: str = "") -> Table:
    parts = (Part(sine.get_config, (Test(published=SINE),), data=data),)
    return _table("Few-shot sine regression", data, parts, tuple(sine.LEARNERS), (5, 10, 20), table_figures.waves)


def _invariance_sine(data: str = "") -> Table:
    parts = (Part(sine.get_config, (Test(published=published.INVARIANCE_SINE),), data=data),)
    title = "Permutation invariance on sine regression"
    return _table(title, data, parts, PLAIN, (5, 10, 20, 30, 40, 50), table_figures.shots)


def _invariance_omniglot(data: str = "") -> Table:
    tests = _both_protocols("", published.INVARIANCE_OMNIGLOT, most="up to 15 queries")
    parts = (Part(omniglot.get_config, tests, data=data, changes=_queries_left),)
    return _table("Permutation invariance on 5-way Omniglot", data, parts, PLAIN, (1, 3, 5, 8, 10), table_figures.shots)


def _omniglot(data: str = "") -> Table:
    parts = (Part(omniglot.get_config, _both_protocols("", OMNIGLOT, _one_shot("omniglot")), data=data),)
    return _table("5-way Omniglot, fully connected base-learner", data, parts, tuple(omniglot.LEARNERS), (1, 5))


def _without_norm(data: str = "") -> Table:
    tests = _both_protocols("", published.WITHOUT_NORM)
    parts = (Part(omniglot.get_config, tests, data=data, changes=lambda shot: {"norm": "none"}),)
    title = "5-way Omniglot, fully connected base-learner without batch normalisation"
    return _table(title, data, parts, ("op_lstm", "maml", "protonet", *FLOORS), (1, 5))


def _omniglot_conv4(data: str = "") -> Table:
    parts = (Part(omniglot_conv4.get_config, _both_protocols("", {}), data=data),)
    return _table("5-way Omniglot, Conv-4", data, parts, ("op_lstm_head", "protonet", *FLOORS), (1,))


def _glyphs(data: str = "") -> Table:
    parts = (Part(glyphs.get_config, (Test(),), data=data),)
    return _table("5-way glyphs, a small Conv-4", data, parts, ("protonet", "op_lstm_head", "pi_lstm", *FLOORS), (1,))


def _updates(*names: str) -> Table:
    parts = [_update_part(omniglot_conv4, "omniglot", "")]
    parts += [_update_part(natural, Path(name).stem, _set(name)) for name in names]
    title = (
        f"Learned updates of OP-LSTM on Conv-4, Omniglot{''.join(f' and {name}' for name in names)}{_stand_in(names)}"
    )
    return Table(title, tuple(parts), ("op_lstm_head",), (1,), table_figures.updates, bool(_stand_in(names)))


def _updates_mlp(data: str = "") -> Table:
    parts = (_update_part(omniglot, Path(data).stem or "omniglot", data),)
    title = "Learned updates of OP-LSTM on every layer, 5-way Omniglot"
    return _table(title, data, parts, ("op_lstm",), (1, 5), table_figures.updates)


def _within(*names: str) -> Table:
    parts = tuple(_within_part(name) for name in names)
    title = f"5-way {' and '.join(names)}, Conv-4{_stand_in(names)}"
    return Table(title, parts, NATURAL_LEARNERS, (1, 5), stand_in=bool(_stand_in(names)))


def _cross(first: str, second: str) -> Table:
    parts = tuple(
        Part(natural.get_config, (_across(source, target),), Path(source).stem, _set(source))
        for source, target in ((first, second), (second, first))
    )
    names = (first, second)
    title = f"5-way across {first} and {second}, Conv-4{_stand_in(names)}"
    return Table(title, parts, NATURAL_LEARNERS, (1, 5), stand_in=bool(_stand_in(names)))


def _table(title: str, data: str, *fields) -> Table:
    """A table whose configuration names the paper's data, unless other data stands in for it."""
    parts: tuple[Part, ...] = fields[0]
    own = parts[0].get_config(fields[1][0]).data
    other = f" (stand-in: on {Path(data).stem})" if data not in ("", own) else ""
    return dataclasses.replace(Table(title + other, *fields), stand_in=bool(other))


def _update_part(configs, name: str, data: str) -> Part:
    """Tests of one run for every similarity, beside the score; gradient descent in the steps of this data's MAML."""
    step = configs.OPTIONS["maml"]["inner_lr"]
    values = published.UPDATES if name == "mini" else {}
    tests = [
        Test(
            f"{name}, {label}",
            measured,
            published={("op_lstm_head", 1): values[measured]} if measured in values else {},
            measure=measure_run,
            metric=METRICS[measured],
        )
        for measured, label in UPDATE_LABELS.items()
    ]
    return Part(configs.get_config, (Test(f"{name}, accuracy"), *tests), name, data, gradient_step=step)


def _within_part(name: str) -> Part:
    tests = _both_protocols(f"{name}, ", NATURAL.get((name, name), {}), _one_shot(name))
    return Part(natural.get_config, tests, Path(name).stem, _set(name))


def _queries_left(shot: int) -> dict[str, int]:
    """15 queries, or as many as the 20 drawings of a character leave."""
    left = min(15, 20 - shot)
    return {"query": left, "test_query": left}


def _both_protocols(
    label: str, values: dict[tuple[str, int], Published], seconds: dict | None = None, most: str = "15 queries"
) -> tuple[Test, ...]:
    """With the 15 queries per class of training, and with k queries per class, as the paper tests within a data set."""
    as_published = Test(
        f"{label}k queries", "k_queries", lambda shot: {"test_query": shot}, values, seconds=seconds or {}
    )
    return Test(f"{label}{most}"), as_published


def _one_shot(name: str) -> dict[tuple[str, int], float]:
    return {(learner, 1): seconds for learner, seconds in SECONDS.get(name, {}).items()}


def _across(source: str, target: str) -> Test:
    values = NATURAL.get((source, target), {})
    return Test(f"{source} → {target}", f"on_{Path(target).stem}", lambda shot: {"data": _set(target)}, values)


def _set(name: str) -> str:
    return NATURAL_DATA.get(name, name)


def _stand_in(names: tuple[str, ...]) -> str:
    return "" if set(names) <= PAPERS_OWN else " (stand-in: not the paper's data)"


TABLES: dict[str, Callable[..., Table]] = {
    "sine": _sine,
    "invariance_sine": _invariance_sine,
    "omniglot": _omniglot,
    "without_norm": _without_norm,
    "invariance_omniglot": _invariance_omniglot,
    "omniglot_conv4": _omniglot_conv4,
    "updates": _updates,
    "updates_mlp": _updates_mlp,
    "within": _within,
    "cross": _cross,
    "glyphs": _glyphs,
    **{name: make for name, (make, _) in BEYOND.items()},
}
# How many sets --data may name, where it is not 0 or 1.
DATA_SETS = {"within": (1, 2), "cross": (2,), "updates": (0, 1, 2)} | {name: sets for name, (_, sets) in BEYOND.items()}
GROUPS = {
    "invariance": ("invariance_sine", "invariance_omniglot"),
    "beyond": tuple(BEYOND),
    "all": tuple(name for name in TABLES if name not in ("glyphs", *BEYOND)),
}
