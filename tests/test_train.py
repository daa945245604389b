"""The training loop: what a workdir ends up holding, resuming bit for bit, selection, refusal of foreign folders."""

import contextlib
import json
import signal
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from faults import empty_checkpoint

from experiments.configs import sine
from experiments.run import run_config
from oplstm_jax import build, params, runs
from oplstm_jax.evaluate import fitting, make_evaluate, task_keys
from oplstm_jax.records import read_metrics
from oplstm_jax.signals import Interrupted
from oplstm_jax.train import train_seeds
from oplstm_jax.types import Episode, Split
from oplstm_jax.workdir import Workdir

FIELDS = (
    "metric score interval test_tasks learner config seed norm test_query wall_seconds params_sha256 "
    "commit hardware best_step validation_score"
).split()
LAST = 50  # step of a small run


def small_config(argument="pi_lstm", **changes):
    """A run of a second or two: 10 chunks of 5 steps, a validation after every second."""
    config = sine.get_config(argument)
    config.update(train_tasks=100, validate_every=20, log_every=10, validation_tasks=20, test_tasks=30, meta_batch=2)
    config.update(changes)
    if "sizes" in config.options:
        config.options.sizes = (8, 8)
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("run")
    return folder, run_config(small_config(), folder)


def test_a_workdir_holds_all_it_promises(finished):
    folder, result = finished
    assert json.loads((folder / "result.json").read_text()) == result
    assert set(FIELDS) <= set(result)
    assert (result["metric"], result["test_tasks"], result["config"]["shot"]) == ("mse", 30, 5)
    lines = read_metrics(folder)
    assert [line["step"] for line in lines] == list(range(5, LAST + 1, 5))
    assert [line["tasks"] for line in lines] == list(range(10, 101, 10))
    assert all({"loss", "score", "tasks_per_second"} <= set(line) for line in lines)
    assert [line["step"] for line in lines if "validation_score" in line] == [10, 20, 30, 40, 50]


def test_the_best_validated_parameters_are_tested(finished):
    folder, result = finished
    scores = {line["step"]: line["validation_score"] for line in read_metrics(folder) if "validation_score" in line}
    assert result["best_step"] == min(scores, key=scores.get)
    assert result["validation_score"] == pytest.approx(min(scores.values()), rel=1e-6)
    config = result["config"]
    problem = build.build_problem(config)
    like = jax.eval_shape(problem.learner.init, jax.random.key(0), problem.sampler("train")(jax.random.key(0)))
    weights = params.load(folder / "params.npz", like)
    assert params.sha256(weights) == result["params_sha256"]
    evaluate = make_evaluate(problem.eval_learner, problem.score)
    scores = evaluate(weights, task_keys("test", 30), problem.sampler("test"))
    np.testing.assert_allclose(np.mean(scores), result["score"], rtol=1e-6)


@pytest.mark.parametrize(("pixels", "channels", "expected"), [(28, 1, 25), (84, 3, 4), (800, 3, 1)])
def test_fewer_large_images_are_scored_at_a_time(pixels, channels, expected):
    def sample(key):
        images = jnp.zeros((80, pixels, pixels, channels))
        return Episode(Split(images[:5], jnp.eye(5)), Split(images[5:], jnp.zeros((75, 5))))

    assert fitting(sample) == expected


def test_a_run_says_which_test_tasks_it_started_with(finished):
    folder, result = finished
    assert (folder / "task_list").read_text() == result["task_list"]


def test_a_run_says_on_what_it_was_trained(finished):
    folder, result = finished
    (line,) = (folder / "machines.jsonl").read_text().splitlines()
    assert json.loads(line) == {name: result[name] for name in ("hardware", "versions")}


def test_a_finished_run_is_not_run_again(finished):
    folder, result = finished
    before = (folder / "metrics.jsonl").stat().st_mtime_ns
    assert run_config(small_config(), folder) == result
    assert (folder / "metrics.jsonl").stat().st_mtime_ns == before


def _without_times(lines):
    return [{key: value for key, value in line.items() if key != "tasks_per_second"} for line in lines]


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_stop_and_resume_equals_uninterrupted_bit_for_bit(finished, tmp_path, monkeypatch, signal_number):
    whole, result = finished
    log = Workdir.log

    def interrupting_log(self, line):
        log(self, line)
        if line["step"] in (15, 35):
            signal.raise_signal(signal_number)

    monkeypatch.setattr(Workdir, "log", interrupting_log)
    for _ in range(2):
        with pytest.raises(Interrupted) as stop:
            run_config(small_config(), tmp_path)
        assert stop.value.signal_number == signal_number
        assert not (tmp_path / "result.json").exists()
    resumed = run_config(small_config(), tmp_path)
    assert resumed["params_sha256"] == result["params_sha256"]
    assert (resumed["score"], resumed["best_step"]) == (result["score"], result["best_step"])
    assert _without_times(read_metrics(tmp_path)) == _without_times(read_metrics(whole))
    assert (tmp_path / "test_scores.npy").read_bytes() == (whole / "test_scores.npy").read_bytes()


def test_a_signal_during_the_last_save_stops_the_run_before_its_test(finished, tmp_path, monkeypatch):
    save = runs.save

    def interrupted_save(files, states, step, *rest):
        save(files, states, step, *rest)
        if step == LAST:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(runs, "save", interrupted_save)
        run_config(small_config(), tmp_path)
    assert (tmp_path / "checkpoints" / str(LAST)).is_dir()
    assert not (tmp_path / "result.json").exists()
    assert run_config(small_config(), tmp_path)["params_sha256"] == finished[1]["params_sha256"]


def test_a_run_whose_newest_checkpoint_is_damaged_ends_the_same(finished, tmp_path, monkeypatch, caplog):
    whole, result = finished
    log = Workdir.log

    def interrupting_log(self, line):
        log(self, line)
        if line["step"] == 30:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Workdir, "log", interrupting_log)
        run_config(small_config(), tmp_path)
    empty_checkpoint(tmp_path / "checkpoints" / "30")
    assert run_config(small_config(), tmp_path)["params_sha256"] == result["params_sha256"]
    assert any("checkpoints/30 cannot be read" in record.getMessage() for record in caplog.records)
    assert _without_times(read_metrics(tmp_path)) == _without_times(read_metrics(whole))


def test_another_seed_is_another_run(finished, tmp_path):
    other = run_config(small_config(seed=1), tmp_path)
    assert other["params_sha256"] != finished[1]["params_sha256"]


def test_a_workdir_of_another_config_is_refused_with_the_difference(finished):
    folder, _ = finished
    with pytest.raises(ValueError, match=r'holds another config: .*shot is 5 there, 7 asked'):
        run_config(small_config(shot=7), folder)


def test_a_run_still_at_chance_says_so(tmp_path, caplog):
    run_config(small_config(patience_tasks=60, learning_rate=1e-9, validation_tasks=400), tmp_path)
    messages = [record.getMessage() for record in caplog.records if "still at chance" in record.getMessage()]
    expected = [f"still at chance after {tasks} tasks" for tasks in (60, 80, 100)]
    assert [message.split(":")[0] for message in messages] == expected


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match="loss is (nan|inf) between steps"):
        run_config(small_config("maml", learning_rate=1e30), tmp_path)
    assert not (tmp_path / "result.json").exists()


def test_time_is_shared_by_the_runs_of_a_program_however_they_are_resumed(tmp_path, monkeypatch):
    """Two runs are begun together, which takes a minute for each line of each of them, and finished one by one."""
    now, log = [0.0], Workdir.log

    def monotonic():
        now[0] += 1e-6
        return now[0]

    def slow_log(self, line):
        log(self, line)
        now[0] += 60
        if line["step"] == 15 and self.path.name == "1" and "alone" not in now:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Workdir, "log", slow_log)
    monkeypatch.setattr(sys.modules["oplstm_jax.train"], "time", types.SimpleNamespace(monotonic=monotonic))
    settings = [tiny.SETTINGS._replace(seed=seed) for seed in (0, 1)]
    with contextlib.ExitStack() as held, pytest.raises(Interrupted):
        opened = [Workdir(tmp_path / str(s.seed), s._asdict()) for s in settings]
        train_seeds(tiny.line_problem(), settings[0], [held.enter_context(contextlib.closing(w)) for w in opened])
    now.append("alone")
    for seed in (0, 1):
        assert tiny.run(tmp_path / str(seed), seed=seed).seconds == pytest.approx(60 * LAST / 5, abs=0.01)
