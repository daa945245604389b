"""Numbers that stop being finite end a run with where and what, or are skipped and counted; --check finds them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import line_problem, run, sample_line

from oplstm_jax import check, finite
from oplstm_jax.losses import accuracy
from oplstm_jax.meta import Log, MetaState, make_chunk
from oplstm_jax.params import sha256
from oplstm_jax.records import read_metrics

BAD_STEP = 17


def poisoned(*steps):
    """A problem whose training tasks of these meta-steps (of 2 tasks each) have an infinite target."""
    bad_keys = np.concatenate([jax.random.key_data(task_keys_of_step(step)) for step in steps])

    def sample(key):
        bad = jnp.any(jnp.all(jax.random.key_data(jax.random.clone(key))[None] == bad_keys, axis=1))
        episode = sample_line(key)
        return episode._replace(query=episode.query._replace(y=jnp.where(bad, jnp.inf, episode.query.y)))

    return line_problem(lambda split: jax.tree_util.Partial(sample if split == "train" else sample_line))


def task_keys_of_step(step, seed=0, meta_batch=2):
    """Keys of the tasks of meta-step number `step` (from 1) of a run."""
    run_key = jax.random.split(jax.random.key(seed), 3)[2]
    keys = jax.random.split(jax.random.fold_in(run_key, step - 1), 2)
    return jax.random.split(keys[0], meta_batch)


def test_a_run_ends_with_the_step_the_parameters_and_the_last_checkpoint(tmp_path):
    with pytest.raises(FloatingPointError) as stop:
        run(tmp_path, poisoned(BAD_STEP))
    message = str(stop.value)
    assert "\n" not in message and message.startswith("loss is nan between steps 15 and 20: at step 17 it is inf,")
    assert message.endswith("not finite after it: shift, slope; the last checkpoint is of step 10")
    assert [line["step"] for line in read_metrics(tmp_path)] == [5, 10, 15]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_network_that_diverged_is_not_right_by_accident(bad):
    targets = jnp.eye(5)
    assert accuracy(jnp.full((5, 5), -jnp.inf).at[:, 0].set(0.0), targets) == pytest.approx(0.2)  # masked, not diverged
    assert jnp.isnan(accuracy(jnp.full((5, 5), bad), targets))
    with pytest.raises(FloatingPointError, match="2 of 3 test scores are not finite"):
        finite.check_scores(np.array([0.2, *map(float, [accuracy(jnp.full((5, 5), bad), targets)] * 2)]), "test")


def test_skipped_steps_change_nothing_and_are_counted(tmp_path):
    tested = run(tmp_path, poisoned(BAD_STEP, 18, 33), skip_nonfinite=True)
    lines = read_metrics(tmp_path)
    assert {line["step"]: line["skipped"] for line in lines if line["skipped"]} == {20: 2, 35: 1}
    assert all(np.isfinite([line["loss"], line["score"]]).all() for line in lines)
    assert np.isfinite(tested.estimate.mean)


def test_a_chunk_of_nothing_but_skipped_steps_has_no_loss_and_the_run_goes_on(tmp_path):
    tested = run(tmp_path, poisoned(*range(16, 21)), skip_nonfinite=True)
    line = next(line for line in read_metrics(tmp_path) if line["step"] == 20)
    assert line["skipped"] == 5 and "loss" not in line and "validation_score" in line
    assert np.isfinite(tested.estimate.mean)


def test_steps_that_are_skipped_again_and_again_end_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match="none of the last 55 meta-gradients, up to step 70, is finite"):
        run(tmp_path, poisoned(*range(16, 80)), skip_nonfinite=True, train_tasks=200, log_every=20)


def test_a_finite_run_is_the_same_with_skipping_and_checks(tmp_path):
    plain = run(tmp_path / "plain")
    problem = check.checked(line_problem(lambda split: sample_line))  # any function is a sampler
    other = run(tmp_path / "other", problem, skip_nonfinite=True)
    assert sha256(plain.params) == sha256(other.params)
    without, counted = read_metrics(tmp_path / "plain"), read_metrics(tmp_path / "other")
    assert [line["loss"] for line in without] == [line["loss"] for line in counted]
    assert all(line["skipped"] == 0 for line in counted) and not any("skipped" in line for line in without)


def test_the_first_parameters_that_are_not_finite_are_named_and_the_others_counted():
    def step(state, run_key, sample):
        params = {name: jnp.where(state.step == 3, jnp.nan, a) for name, a in state.params.items()}
        return MetaState(state.step + 1, params, state.opt_state), Log(jnp.ones(()), jnp.ones(()))

    state = MetaState(jnp.zeros((), jnp.int32), {f"p{i}": jnp.zeros(2) for i in range(6)}, ())
    chunk, key = make_chunk(step), jax.random.key(0)
    error = finite.NotFinite(1.0, 0, 5)
    text = finite.locate(lambda state, steps: chunk(state, key, steps, sample_line), state, error)
    assert "at step 4 it is 1, not finite after it: p0, p1, p2, p3 and 2 more; " in text
    assert text.endswith("the last checkpoint is of step 0")


def test_scores_that_are_not_finite_are_counted():
    with pytest.raises(FloatingPointError, match="2 of 3 test scores are not finite"):
        finite.check_scores(np.array([1.0, np.nan, np.inf]), "test")


def test_steps_are_skipped_for_any_gradient_entry_and_moments_stay():
    optimiser = finite.skip_nonfinite(optax.adam(0.1))
    state = optimiser.init(params := {"a": jnp.ones(2), "b": jnp.ones(1)})
    _, state = optimiser.update({"a": jnp.ones(2), "b": jnp.ones(1)}, state, params)
    updates, after = optimiser.update({"a": jnp.array([1.0, jnp.nan]), "b": jnp.ones(1)}, state, params)
    assert not any(np.any(u) for u in updates.values())
    jax.tree.map(np.testing.assert_array_equal, after.inner_state, state.inner_state)
    assert int(after.total_notfinite) == 1


def test_where_jax_looks_for_nans_the_line_of_code_is_named(tmp_path):
    problem = poisoned(BAD_STEP)
    learner = problem.learner._replace(predict=lambda params, fast, x: jnp.log(params["slope"][None] - 9.0) * x)
    line = r"\(nan\) encountered in log, test_finite.py line \d+$"
    with pytest.raises(FloatingPointError, match=line), jax.debug_nans(True):
        run(tmp_path, problem._replace(learner=learner))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s._replace(y=s.y[:, 0]), "episode: .*rank"),
        (lambda s: s._replace(y=s.y[1:]), "episode: .*[Ss]hape"),
        (lambda s: s._replace(x=s.x.astype(int)), "episode: .*type"),
    ],
)
def test_checks_refuse_odd_episodes(change, message):
    episode = sample_line(jax.random.key(0))
    check.check_episode(episode)
    with pytest.raises(ValueError, match=message):
        check.check_episode(episode._replace(support=change(episode.support)))


def test_checks_refuse_odd_outputs(tmp_path):
    problem = line_problem()
    learner = problem.learner._replace(predict=lambda params, fast, x: x[0])
    with pytest.raises(ValueError, match="outputs: "):
        run(tmp_path, check.checked(problem._replace(learner=learner)))
