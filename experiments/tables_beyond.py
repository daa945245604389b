"""Tables of questions that the paper leaves open: sequences, pooling, layers that move, other nets, better settings."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from experiments import table_figures
from experiments.configs import base_learners, convolutions, op_lstm_best, sequences, sine
from experiments.table import Part, Table, Test

EVENTS = 10  # examples in the support set of a sequence
FAMILIES = ("drift", "latest", "trajectory")
POOLS = {"hidden": "every pass", "hidden_and_cell": "every pass, cells too", "last_pass": "last pass"}


def order() -> Table:
    """Three families of sequences, without and with the place of an example among its inputs."""
    parts = tuple(_sequence_part(family, position) for position in (False, True) for family in FAMILIES)
    title = "Tasks whose support set is a sequence"
    return Table(title, parts, tuple(sequences.LEARNERS), (EVENTS,), table_figures.parts)


def pooling() -> Table:
    """What the mean-pooled LSTM's examples share, and when."""
    parts = tuple(_pooled_part(pool, words) for pool, words in POOLS.items())
    return Table("What is pooled, on few-shot sine regression", parts, ("pi_lstm",), (5, 10), table_figures.parts)


def layers_that_move(*names: str) -> Table:
    """OP-LSTM on the last layers of Conv-4 or on all, at equal training tasks and in equal time, on each data set."""
    names = names or ("glyphs", "omniglot", "tiny")
    parts = [
        Part(get_config, (Test(f"{Path(name).stem}, {budget}"),), f"{Path(name).stem}/{budget.replace(' ', '_')}", name)
        for name in names
        for budget, get_config in (
            ("equal tasks", convolutions.get_config),
            ("equal time", convolutions.get_config_of_equal_time),
        )
    ]
    title = "Layers of Conv-4 that OP-LSTM moves: 5-way, 16 filters"
    return Table(title, tuple(parts), tuple(convolutions.LEARNERS), (1,), table_figures.budgets)


def other_base_learners(*names: str) -> Table:
    """Conv-4, ResNet-12 and a vision transformer under four learners, on each data set."""
    names = names or ("glyphs", "omniglot")
    parts = [
        Part(
            base_learners.get_config,
            (Test(f"{Path(name).stem}, {base}"),),
            f"{Path(name).stem}/{base.replace(', ', '_').replace(' ', '_')}",
            name,
            changes=functools.partial(_same_at_all_shots, fields),
        )
        for name in names
        for base, fields in base_learners.BASES.items()
    ]
    title = "Small base-learners under OP-LSTM, MAML and ProtoNet: 5-way"
    return Table(title, tuple(parts), tuple(base_learners.LEARNERS), (1,), table_figures.learning)


def best(problem: str, shots: tuple[int, ...]) -> Table:
    """The authors' settings of OP-LSTM on a problem of theirs beside `op_lstm_best`."""
    authors, learner, _ = op_lstm_best.PROBLEMS[problem]

    def found(argument: str) -> ConfigDict:
        return op_lstm_best.get_config(",".join([problem, *argument.split(",")[1:]]))

    parts = (Part(authors, (Test("authors' settings"),), "authors"), Part(found, (Test("op_lstm_best"),), "best"))
    return Table(f"A better default of OP-LSTM on {problem}", parts, (learner,), shots, table_figures.parts)


def _pooled_part(pool: str, words: str) -> Part:
    return Part(sine.get_config, (Test(f"pooled after {words}"),), pool, changes=lambda shot: {"options.pool": pool})


def _sequence_part(family: str, position: bool) -> Part:
    """`latest` has 5 symbols with 2 labels each, the others one function."""

    def changes(shot: int) -> dict:
        labels = {"way": 5, "shot": shot // 5, "query": 4, "test_query": 4} if family == "latest" else {}
        return {"position": position, **labels}

    words = f"{family}, with positions" if position else family
    return Part(sequences.get_config, (Test(words),), f"{family}{'_position' * position}", family, changes)


def _same_at_all_shots(fields: dict[str, Any], shot: int) -> dict[str, Any]:
    return fields


# How each is made, and how many sets --data may name.
BEYOND: dict[str, tuple[Callable[..., Table], tuple[int, ...]]] = {
    "order": (order, (0,)),
    "pooling": (pooling, (0,)),
    "convolutions": (layers_that_move, (0, 1, 2, 3)),
    "base_learners": (other_base_learners, (0, 1, 2)),
    "best_sine": (functools.partial(best, "sine", (5, 10, 20)), (0,)),
    "best_omniglot": (functools.partial(best, "omniglot", (1, 5)), (0,)),
    "best_omniglot_conv4": (functools.partial(best, "omniglot_conv4", (1,)), (0,)),
}
