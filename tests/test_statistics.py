"""Intervals mean what they say."""

import numpy as np
import pytest
from scipy import stats

from oplstm_jax.statistics import compare, estimate, list_error, over_seeds, over_tasks


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


def test_the_comparison_errs_at_its_nominal_rate():
    """Ours and theirs: three runs each that differ, all tested on a list of tasks of their own."""
    rng = np.random.default_rng(3)
    rejected, covered, rounds, tasks = 0, 0, 1000, 50
    for _ in range(rounds):
        ours, theirs = (
            0.5 + rng.normal(0, 0.05, (3, 1)) + rng.normal(0, 0.2, (1, tasks)) + rng.normal(0, 0.2, (3, tasks))
            for _ in range(2)
        )
        found = compare(over_seeds(ours), list_error(ours), float(theirs.mean()), 1.96 * list_error(theirs))
        rejected += found.p < 0.05
        covered += abs(found.difference) <= found.interval
    assert 0.005 < rejected / rounds < 0.06  # never more often than it says
    assert covered == rounds - rejected


def test_the_comparison_is_students_where_only_seeds_differ():
    ours = estimate([0.1, 0.2, 0.4])
    found = compare(ours, 0.0, 0.0, None)
    expected = stats.ttest_1samp([0.1, 0.2, 0.4], 0.0).statistic / np.sqrt(2)  # theirs differ as much
    assert found.p == pytest.approx(2 * stats.t.sf(expected, 2))
    assert found.assumed and found.difference == pytest.approx(0.7 / 3)


def test_the_comparison_knows_a_large_difference_and_an_unknown_error():
    scores = [np.array([0.5, 0.52, 0.51, 0.49]) + seed for seed in (0.0, 0.001, -0.001)]
    ours, error = over_seeds(scores), list_error(scores)
    assert compare(ours, error, 0.9, 0.01).p < 1e-3 < 0.5 < compare(ours, error, ours.mean, 0.01).p
    assert compare(ours, float("inf"), 0.9, 0.01).p == 1


def test_error_of_the_list_is_that_of_its_tasks():
    tasks = np.array([0.1, 0.5, 0.9, 0.3])
    expected = stats.sem(tasks)
    assert list_error([tasks, tasks, tasks]) == pytest.approx(expected)  # more seeds do not make it smaller
    assert list_error([tasks, 0.7 - tasks]) == pytest.approx(0)
    assert list_error([tasks, tasks[:2]]) == pytest.approx(max(expected, stats.sem(tasks[:2])))
    assert list_error([tasks[:1]]) == float("inf")
