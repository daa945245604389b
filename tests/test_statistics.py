"""Intervals mean what they say."""

import numpy as np
import pytest
from scipy import stats

from oplstm_jax.statistics import estimate, over_seeds, over_tasks


def test_interval_is_student_t():
    values = np.random.default_rng(0).normal(3, 2, 12)
    ours = estimate(values)
    low, high = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose((ours.mean - ours.interval, ours.mean + ours.interval), (low, high))


@pytest.mark.parametrize("count", [3, 30])
def test_interval_covers_the_truth_at_its_nominal_rate(count):
    draws = np.random.default_rng(1).normal(0.4, 0.1, (4000, count))
    covered = np.mean([abs((e := estimate(row)).mean - 0.4) <= e.interval for row in draws])
    assert 0.938 < covered < 0.962


def test_pooled_tasks_and_seeds_differ():
    runs = [np.full(100, 0.5) + np.linspace(-0.1, 0.1, 100) + shift for shift in (-0.05, 0.0, 0.05)]
    pooled, seeds = over_tasks(runs), over_seeds(runs)
    np.testing.assert_allclose((pooled.mean, seeds.mean), 0.5)
    assert (pooled.count, seeds.count) == (300, 3)
    assert seeds.interval > 10 * pooled.interval


def test_one_value_has_no_interval_and_none_is_an_error():
    assert estimate([0.3]).interval == float("inf")
    with pytest.raises(ValueError, match="no values"):
        estimate([])
