"""Nothing reported can lie: intervals cover, test classes stay unseen to the end, equal digests mean equal tasks."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_train import small_config
from tiny import SETTINGS, line_problem, run, sample_line

from oplstm_jax import build, protonet
from oplstm_jax.data import image_set, make_sampler, sine, split_classes
from oplstm_jax.data.families import SINE_CHANCE
from oplstm_jax.evaluate import make_evaluate, task_keys
from oplstm_jax.losses import accuracy, cross_entropy, mean_squared_error
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.params import sha256
from oplstm_jax.problem import Problem
from oplstm_jax.records import read_metrics
from oplstm_jax.statistics import estimate
from oplstm_jax.task_lists import task_list_digest
from oplstm_jax.types import Learner

LISTS, TASKS = 1000, 200


def test_the_interval_of_an_evaluation_covers_the_true_score_at_its_nominal_rate():
    """The learner that predicts 0 has a known expected error on sine tasks, whose errors are far from normal."""
    zero = Learner(lambda key, e: {}, lambda p, s, *, key=None: (None, {}), lambda p, fast, x: jnp.zeros_like(x))
    sample = jax.tree_util.Partial(lambda key: sine.sample_episode(key, shot=1, query=50))
    evaluate = make_evaluate(zero, mean_squared_error, tasks_at_once=LISTS)
    scores = np.asarray(evaluate({}, jax.random.split(jax.random.key(5), LISTS * TASKS), sample)).reshape(LISTS, TASKS)
    estimates = [estimate(row) for row in scores]
    covered = np.mean([abs(e.mean - SINE_CHANCE) <= e.interval for e in estimates])
    assert 0.93 < covered < 0.965  # 3 standard errors of a rate of 0.95 are 0.02
    widths = [e.interval for e in estimates]
    np.testing.assert_allclose(np.mean(widths), 1.972 * scores.mean(1).std(), rtol=0.1)


def picture_problem(test_seed):
    """Protonet on 12 random classes; only the images of the 4 test classes depend on the seed."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 5, 4, 4, 1)).astype(np.uint8)
    pixels[8:] = np.random.default_rng(test_seed).integers(0, 256, (4, 5, 4, 4, 1))
    names = [f"class{i}" for i in range(12)]
    images = image_set("pictures", pixels.reshape(60, 4, 4, 1), [5] * 12, names, [0] * 4 + [1] * 4 + [2] * 4)
    learner = protonet(MLP((6,)))

    def sampler(split):
        return make_sampler(split_classes(images, split), way=3, shot=1, query=2)

    return Problem(learner, learner, cross_entropy, accuracy, "accuracy", 1 / 3, sampler)


def test_test_classes_have_no_influence_on_anything_but_the_test_scores(tmp_path):
    runs = [run(tmp_path / str(seed), picture_problem(seed), test_tasks=20) for seed in (1, 2)]
    first, second = ([{**line, "tasks_per_second": 0} for line in read_metrics(tmp_path / str(s))] for s in (1, 2))
    assert first == second
    assert sha256(runs[0].params) == sha256(runs[1].params)
    assert runs[0][3:5] == runs[1][3:5]  # best step, validation score
    assert runs[0].scores.tolist() != runs[1].scores.tolist()


def test_no_test_task_is_drawn_before_the_last_step(tmp_path):
    steps_at_first_draw = []

    def sampler(split):
        def sample(key):  # runs when a program that draws such tasks is traced
            if split == "test" and not steps_at_first_draw:
                steps_at_first_draw.append(read_metrics(tmp_path)[-1]["step"])
            return sample_line(key)

        return jax.tree_util.Partial(sample)

    run(tmp_path, line_problem(sampler))
    assert steps_at_first_draw == [SETTINGS.steps(SETTINGS.train_tasks)]


def test_the_lists_of_tasks_are_fixed_for_all_time():
    """Published digests: a change of the keys, or of how they are drawn, is another benchmark."""
    assert task_list_digest("test", 600, "sine", {"shot": 5})[:12] == "43b3249c0824"
    shorter, longer = (np.asarray(jax.random.key_data(task_keys("test", n))) for n in (10, 20))
    np.testing.assert_array_equal(shorter, longer[:10])


@pytest.mark.parametrize("change", [{"shot": 6}, {"test_tasks": 31}, {"test_query": 51}, {"way": 3}])
def test_other_tasks_have_another_digest_and_other_learners_the_same(change):
    config = json.loads(small_config().to_json_best_effort())
    digest = build.list_of_test_tasks(config)
    assert build.list_of_test_tasks({**config, "learner": "maml", "seed": 3, "passes": 7}) == digest
    assert build.list_of_test_tasks({**config, **change}) != digest


@pytest.mark.parametrize("setting", [jax.enable_x64(True), jax.threefry_partitionable(False)])
def test_tasks_that_other_settings_of_jax_draw_have_another_digest(setting):
    config = json.loads(small_config().to_json_best_effort())
    digest = build.list_of_test_tasks(config)
    with setting:
        assert build.list_of_test_tasks(config) != digest


@pytest.mark.slow
def test_same_seed_same_bits_and_another_seed_others(tmp_path):
    runs = [run(tmp_path / str(i), seed=seed) for i, seed in enumerate((4, 4, 5))]
    assert sha256(runs[0].params) == sha256(runs[1].params) != sha256(runs[2].params)
    np.testing.assert_array_equal(runs[0].scores, runs[1].scores)
