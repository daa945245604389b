"""Means and 95 % intervals, over tasks and over seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit


class Estimate(NamedTuple):
    """A mean, the half-width of its 95 % Student-t interval and the number of values behind it."""

    mean: float
    interval: float
    count: int  # type: ignore[assignment]  # also a method of tuples


class Comparison(NamedTuple):
    """Ours minus theirs, the half-width of its 95 % interval and the two-sided p value of no difference.

    assumed: whether their error is taken to be ours, for want of a published interval.
    """

    difference: float
    interval: float
    p: float
    assumed: bool


def estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """Mean and interval of independent values; the interval of fewer than two values is infinite.

    Raises ValueError for no values at all.
    """
    values = np.asarray(values, np.float64).ravel()
    if not values.size:
        raise ValueError("no values to estimate a mean from: expected one or more")
    if values.size == 1:
        return Estimate(float(values[0]), float("inf"), 1)
    interval = _standard_error(values) * stdtrit(values.size - 1, 0.975)
    return Estimate(float(values.mean()), float(interval), int(values.size))


def known(interval: float) -> float | None:
    """The half-width of an interval as JSON can hold it: None where it is infinite, as of a single value."""
    return interval if np.isfinite(interval) else None


def over_tasks(per_seed: Sequence[np.ndarray]) -> Estimate:
    """Interval over the pooled tasks of all seeds: how the paper reports. It ignores differences between runs."""
    return estimate(np.concatenate([np.ravel(scores) for scores in per_seed]))


def over_seeds(per_seed: Sequence[np.ndarray]) -> Estimate:
    """Interval over the seeds' mean scores: what to expect of another training run."""
    return estimate([float(np.mean(scores)) for scores in per_seed])


def list_error(per_seed: Sequence[np.ndarray]) -> float:
    """Standard error of the mean score that comes from the list of test tasks, which all seeds share.

    It is that of each task's score averaged over seeds; for lists of different lengths the largest of the seeds' own.
    Infinite for a single task.
    """
    lengths = {np.size(scores) for scores in per_seed}
    lists = [np.mean([np.ravel(s) for s in per_seed], 0, dtype=np.float64)] if len(lengths) == 1 else per_seed
    return max(_standard_error(np.ravel(scores)) for scores in lists)


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else float("inf")


def compare(ours: Estimate, error: float, mean: float, interval: float | None) -> Comparison:
    """Welch's t-test of our mean over two seeds or more against a published mean.

    ours: over seeds. error: `list_error`. interval: the published 95 % interval over tasks, None for one like ours.
    The published runs are as many, and taken to differ from one another as much as ours do, which the paper does not
    say. Degrees of freedom: Welch and Satterthwaite's, those of the errors over tasks taken as infinite.
    """
    seeds = _variance(ours)
    theirs = error if interval is None else interval / stdtrit(np.inf, 0.975)
    parts = [(2 * seeds, ours.count - 1), (error**2, np.inf), (theirs**2, np.inf)]
    return _t_test(ours.mean - mean, parts, assumed=interval is None)


def welch(first: Estimate, second: Estimate) -> Comparison:
    """Welch's t-test of two means over independent runs, second minus first. Raises ValueError for a single run."""
    if min(first.count, second.count) < 2:
        raise ValueError(f"{first.count} and {second.count} runs: expected two or more on both sides")
    return _t_test(second.mean - first.mean, [(_variance(each), each.count - 1) for each in (first, second)])


def _variance(mean: Estimate) -> float:
    """The squared standard error behind an interval."""
    return (mean.interval / stdtrit(mean.count - 1, 0.975)) ** 2


def _t_test(difference: float, parts: Sequence[tuple[float, float]], assumed: bool = False) -> Comparison:
    """Whether a difference is none; parts of its variance, each with its degrees of freedom (Welch, Satterthwaite)."""
    variance = sum(part for part, _ in parts)
    known = sum(part**2 / freedom for part, freedom in parts if np.isfinite(freedom))
    freedom, spread = variance**2 / known if known else np.inf, np.sqrt(variance)
    p = 2 * stdtr(freedom, -abs(difference) / spread) if spread else difference == 0
    return Comparison(difference, float(spread * stdtrit(freedom, 0.975)), float(p), assumed)


def paired(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> Estimate:
    """Second minus first on each task of one list, scores [n] averaged over the runs: what is known of *these* runs.

    Raises ValueError for lists of different lengths.
    """
    lengths = sorted({np.size(scores) for scores in (*first, *second)})
    if len(lengths) > 1:
        raise ValueError(f"scores of {lengths[0]} and of {lengths[-1]} tasks: expected one list of tasks")
    before, after = (np.asarray(scores, np.float64).mean(axis=0) for scores in (first, second))
    return estimate(after - before)
