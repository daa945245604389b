"""Tables of questions that the paper leaves open: tasks that are sequences, and what pooling is for."""

from experiments import table_figures
from experiments.configs import sequences, sine
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


def _pooled_part(pool: str, words: str) -> Part:
    return Part(sine.get_config, (Test(f"pooled after {words}"),), pool, changes=lambda shot: {"options.pool": pool})


def _sequence_part(family: str, position: bool) -> Part:
    """`latest` has 5 symbols with 2 labels each, the others one function."""

    def changes(shot: int) -> dict:
        labels = {"way": 5, "shot": shot // 5, "query": 4, "test_query": 4} if family == "latest" else {}
        return {"position": position, **labels}

    words = f"{family}, with positions" if position else family
    return Part(sequences.get_config, (Test(words),), f"{family}{'_position' * position}", family, changes)


BEYOND = {"order": order, "pooling": pooling}
