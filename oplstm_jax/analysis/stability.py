"""When runs leave chance, and when they are near their best: what differs between seeds of one configuration."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

LEFT = 0.05  # of chance: so much better than it is no longer at chance, as in `Problem.at_chance`


class Course(NamedTuple):
    """Of one run: training tasks at its first validation past chance, and at the first with at most twice its least
    error; None for never. last: training tasks at its last validation. best: its least error.

    The error is the mean squared error, or one minus the accuracy.
    """

    left_chance: int | None
    near_best: int | None
    last: int
    best: float


def course(lines: Iterable[Mapping[str, Any]], metric: str, chance: float) -> Course:
    """The course of a run from the lines of its metrics. Raises ValueError if it was never validated."""
    errors = [
        (line["tasks"], _error(line["validation_score"], metric)) for line in lines if "validation_score" in line
    ]
    if not errors:
        raise ValueError("no validation score in these metrics: expected a run with one validation or more")
    best, bound = min(error for _, error in errors), _error(chance, metric) - LEFT * chance
    left = next((tasks for tasks, error in errors if error < bound), None)
    near = next(tasks for tasks, error in errors if error <= 2 * best)
    return Course(left, None if left is None else max(near, left), errors[-1][0], best)


def share_left(courses: Sequence[Course]) -> tuple[float, tuple[float, float]]:
    """Share of the runs that left chance, and its 95 % interval: Wilson's, for few runs and shares of 0 and 1."""
    n, z = len(courses), 1.96
    share = sum(found.left_chance is not None for found in courses) / n
    middle, spread = share + z**2 / (2 * n), z * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return share, ((middle - spread) / (1 + z**2 / n), (middle + spread) / (1 + z**2 / n))


def _error(score: float, metric: str) -> float:
    return 1 - score if metric == "accuracy" else score
