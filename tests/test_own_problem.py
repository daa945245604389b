"""A problem of one's own goes through the training loop: its metric, its optimiser, its kinds of numbers."""

import contextlib
import re

import jax
import numpy as np
import optax
import pytest
from tiny import SETTINGS, line_learner, line_problem, run, sample_line

from oplstm_jax.losses import mean_squared_error
from oplstm_jax.meta import init_state, make_step
from oplstm_jax.optimiser import make_optimiser
from oplstm_jax.records import read_metrics
from oplstm_jax.train import finish, train
from oplstm_jax.workdir import Workdir


def _fit(outputs, targets):
    return -mean_squared_error(outputs, targets)


def test_a_metric_of_ones_own_says_which_way_is_better(tmp_path):
    problem = line_problem()._replace(metric="fit", score=_fit, chance=-5.0, larger_is_better=True)
    tested = run(tmp_path, problem)
    lines = {line["step"]: line["validation_score"] for line in read_metrics(tmp_path) if "validation_score" in line}
    assert tested.best_step == max(lines, key=lines.get) and tested.validation_score == max(lines.values())
    assert problem.at_chance(-5.0) and not problem.at_chance(-4.0)
    with pytest.raises(ValueError, match="metric is 'fit': expected larger_is_better, True or False, with a metric"):
        run(tmp_path / "other", problem._replace(larger_is_better=None))
    assert not read_metrics(tmp_path / "other")


IMPOSSIBLE = {"outer_clip": 0.0, "seed": "a", "optimiser": ["adam"], "learning_rate": "a", "tasks_at_once": 0.5}


@pytest.mark.parametrize("name", ["validation_tasks", "test_tasks", "train_tasks", "log_every", *IMPOSSIBLE])
def test_nothing_is_trained_with_impossible_settings(name, tmp_path):
    value = IMPOSSIBLE.get(name, 0)
    with pytest.raises(ValueError, match=re.escape(f"{name} is {value!r}: expected")):
        run(tmp_path, **{name: value})
    assert not read_metrics(tmp_path)


def test_a_probe_may_give_arrays_and_a_result_has_the_configuration_of_its_folder(tmp_path):
    problem = line_problem()._replace(probe=lambda params: {"slope": params["slope"][0]})
    with contextlib.closing(Workdir(tmp_path, {"learner": "line"})) as workdir:
        result = finish(problem, train(problem, SETTINGS, workdir), workdir, {})
        assert workdir.result() == result and result["config"] == {"learner": "line"} == workdir.config
    assert all(isinstance(line["slope"], float) for line in read_metrics(tmp_path) if "validation_score" in line)


def test_a_configuration_that_json_cannot_hold_makes_no_folder(tmp_path):
    with pytest.raises(ValueError, match="config: Object of type float32 is not JSON serializable: expected numbers"):
        Workdir(tmp_path / "run", {"rate": np.float32(0.1)})
    assert not (tmp_path / "run").exists()


def test_an_optimiser_of_optax_is_taken_as_it_is(tmp_path):
    skips = optax.apply_if_finite(optax.sgd(0.01), 3)  # of its own accord: not what `skip_nonfinite` asks for
    assert make_optimiser(SETTINGS._replace(optimiser=skips)) is skips
    assert float(run(tmp_path, optimiser=skips).params["shift"][0]) > 0.1
    assert not any("skipped" in line for line in read_metrics(tmp_path))
    assert callable(make_optimiser(SETTINGS._replace(optimiser=optax.MultiSteps(optax.sgd(0.1), 2))).update)
    with pytest.raises(ValueError, match="optimiser is 'sgd': expected adam, muon or an optimiser of Optax"):
        make_optimiser(SETTINGS._replace(optimiser="sgd"))


def test_an_optimiser_that_reads_the_loss_gets_it():
    learner, optimiser = line_learner(), optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=1))
    step = make_step(learner, mean_squared_error, mean_squared_error, optimiser, 2)
    state = init_state(learner, optimiser, jax.random.key(0), sample_line(jax.random.key(1)))
    state, log = step(state, jax.random.key(2), sample_line)
    np.testing.assert_allclose(state.opt_state[1].best_value, 2 * log.loss)  # of the sum, as the gradient


def test_numbers_of_python_are_meta_parameters_too():
    learner = line_learner()._replace(init=lambda key, episode: {"shift": [0.0], "slope": np.ones(1)})
    state = init_state(learner, optax.sgd(0.1), jax.random.key(0), sample_line(jax.random.key(1)))
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {np.dtype(np.float32)}
