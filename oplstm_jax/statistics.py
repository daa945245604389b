"""Means and 95 % intervals, over tasks and over seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit


class Estimate(NamedTuple):
    """A mean, the half-width of its 95 % Student-t interval and the number of values behind it."""

    mean: float
    interval: float
    count: int  # type: ignore[assignment]  # also a method of tuples


def estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """Mean and interval of independent values; the interval of fewer than two values is infinite.

    Raises ValueError for no values at all.
    """
    values = np.asarray(values, np.float64).ravel()
    if not values.size:
        raise ValueError("no values to estimate a mean from: expected one or more")
    if values.size == 1:
        return Estimate(float(values[0]), float("inf"), 1)
    spread = values.std(ddof=1) / np.sqrt(values.size)
    return Estimate(float(values.mean()), float(spread * stdtrit(values.size - 1, 0.975)), int(values.size))


def over_tasks(per_seed: Sequence[np.ndarray]) -> Estimate:
    """Interval over the pooled tasks of all seeds: how the paper reports. It ignores differences between runs."""
    return estimate(np.concatenate([np.ravel(scores) for scores in per_seed]))


def over_seeds(per_seed: Sequence[np.ndarray]) -> Estimate:
    """Interval over the seeds' mean scores: what to expect of another training run."""
    return estimate([float(np.mean(scores)) for scores in per_seed])
