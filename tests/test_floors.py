"""The floors of every table: random guessing, training from scratch and fine-tuning."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from learner_table import blobs, same_blobs

from oplstm_jax.evaluate import make_evaluate, task_keys
from oplstm_jax.learners import make
from oplstm_jax.learners.finetune import finetune
from oplstm_jax.learners.guess import random_guess
from oplstm_jax.learners.scratch import scratch
from oplstm_jax.losses import accuracy, cross_entropy, mean_squared_error
from oplstm_jax.meta import task_objective, task_outputs
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.params import load, save, sha256
from oplstm_jax.problem import Problem, Settings
from oplstm_jax.train import finish, train
from oplstm_jax.workdir import Workdir

NET = MLP((8,), 3)


def test_random_guessing_is_at_chance_and_uniform():
    learner = random_guess()
    scores = make_evaluate(learner, accuracy)({}, task_keys("test", 600), jax.tree_util.Partial(blobs))
    assert abs(np.mean(scores) - 1 / 3) < 0.02  # 7200 guesses: one standard error is 0.006
    episode = blobs(jax.random.key(0))
    other = episode._replace(support=blobs(jax.random.key(1)).support)
    first, same, different = (
        task_outputs(learner, {}, e, key=jax.random.key(k)) for e, k in [(episode, 2), (other, 2), (episode, 3)]
    )
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, different)
    assert first.min() >= 0 and first.max() < 1


def test_nothing_meta_learned_is_an_empty_file_and_back(tmp_path):
    params = scratch(NET, cross_entropy, 2).init(jax.random.key(0), blobs(jax.random.key(1)))
    save(tmp_path / "params.npz", params)
    assert load(tmp_path / "params.npz", params) == params == {}
    assert sha256(params) == sha256({})
    assert optax.adam(0.1).init(params) is not None


def test_the_training_loop_runs_and_resumes_without_meta_parameters(tmp_path):
    learner, sampler = random_guess(), jax.tree_util.Partial(blobs)
    problem = Problem(learner, learner, cross_entropy, accuracy, "accuracy", 1 / 3, lambda split: sampler)
    settings = Settings(0, 2, 1e-3, 8, 4, 4, validation_tasks=5, test_tasks=5, patience_tasks=100)
    with contextlib.closing(Workdir(tmp_path, {})) as workdir:
        first = finish(problem, train(problem, settings, workdir), workdir, {})
        again = train(problem, settings, workdir)
    assert again.params == {} and again.best_step in (2, 4)
    assert first["score"] == again.estimate.mean
    assert first["params_sha256"] == sha256({})


@pytest.mark.parametrize("learner", [random_guess(), scratch(NET, cross_entropy, 2)])
def test_what_draws_needs_a_key(learner):
    with pytest.raises(ValueError, match="adapt needs a key"):
        learner.adapt({}, blobs(jax.random.key(0)).support)


@pytest.mark.parametrize(("optimiser", "rate"), [("sgd", 0.1), ("adam", 0.01)])
def test_scratch_is_a_plain_loop_of_optimiser_steps(optimiser, rate):
    episode = blobs(jax.random.key(0))
    learner = scratch(NET, cross_entropy, 4, rate, optimiser)
    fast, info = learner.adapt({}, episode.support, key=jax.random.key(1))
    weights = NET.init(jax.random.key(1), episode.support.x)["params"]
    transform = {"sgd": optax.sgd, "adam": optax.adam}[optimiser](rate)
    state, losses = transform.init(weights), []
    for _ in range(4):
        loss, grads = jax.value_and_grad(
            lambda w: cross_entropy(NET.apply({"params": w}, episode.support.x), episode.support.y)
        )(weights)
        updates, state = transform.update(grads, state, weights)
        weights = optax.apply_updates(weights, updates)
        losses.append(loss)
    np.testing.assert_allclose(info["loss"], losses, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), fast["weights"], weights)
    expected = NET.apply({"params": weights}, episode.query.x)
    np.testing.assert_allclose(learner.predict({}, fast, episode.query.x), expected, atol=1e-5)


def test_scratch_draws_all_weights_in_one_precision(x64):
    for precision in (jnp.float32, jnp.float64):
        episode = jax.tree.map(lambda a, p=precision: a.astype(p), blobs(jax.random.key(0)))
        fast, _ = scratch(NET, cross_entropy, 1).adapt({}, episode.support, key=jax.random.key(1))
        assert {leaf.dtype for leaf in jax.tree.leaves(fast["weights"])} == {np.dtype(precision)}


def test_scratch_learns_its_support_set():
    learner = scratch(NET, cross_entropy, 100, 0.02)
    _, info = learner.adapt({}, blobs(jax.random.key(0)).support, key=jax.random.key(1))
    assert info["loss"][-1] < 0.2 * info["loss"][0]


def test_finetune_is_meta_trained_on_support_and_query_of_all_classes():
    episode = same_blobs(jax.random.key(0))
    learner = finetune(NET.clone(outputs=None), classes=4, steps=3)
    params = learner.init(jax.random.key(1), episode)
    loss, outputs = task_objective(learner, cross_entropy)(params, episode)

    def classify(x):
        a = NET.clone(outputs=None).apply({"params": params["features"]}, x)
        return a @ params["head"]["kernel"] + params["head"]["bias"][None]

    losses = [cross_entropy(classify(split.x), split.y) * len(split.x) for split in episode]
    np.testing.assert_allclose(loss, sum(losses) / 24, rtol=1e-5)
    np.testing.assert_allclose(outputs, classify(episode.query.x), rtol=1e-5)


def test_finetune_adapts_to_tasks_of_any_way_from_a_fresh_layer():
    learner = finetune(NET.clone(outputs=None), classes=4, steps=50, learning_rate=0.1)
    params = learner.init(jax.random.key(1), same_blobs(jax.random.key(0)))
    episode = blobs(jax.random.key(2), way=2, query=5)
    fast, info = learner.adapt(params, episode.support)
    np.testing.assert_allclose(info["loss"][0], np.log(2), rtol=1e-6)  # zeros to begin with
    assert info["loss"][-1] < 0.2
    assert accuracy(learner.predict(params, fast, episode.query.x), episode.query.y) > 0.8
    no_head = {**params, "head": jax.tree.map(jnp.zeros_like, params["head"])}
    np.testing.assert_array_equal(
        learner.predict(no_head, fast, episode.query.x), learner.predict(params, fast, episode.query.x)
    )


def test_finetune_refuses_to_meta_train_on_the_classes_of_a_task():
    episode = blobs(jax.random.key(0))
    learner = finetune(NET.clone(outputs=None), classes=4, steps=1)
    params = learner.init(jax.random.key(1), episode)
    with pytest.raises(ValueError, match="targets over all 4 classes, not 3"):
        learner.objective(params, episode)


@pytest.mark.parametrize(
    ("name", "loss", "passes", "options", "message"),
    [
        ("finetune", mean_squared_error, 1, {"classes": 4}, "finetune classifies"),
        ("finetune", cross_entropy, 1, {"classes": 0}, "classes is 0"),
        ("finetune", cross_entropy, -1, {"classes": 4}, "steps is -1"),
        ("scratch", cross_entropy, -1, {}, "steps is -1"),
        ("scratch", cross_entropy, 1, {"optimiser": "adams"}, "unknown optimiser 'adams'"),
        ("scratch", cross_entropy, 1, {"learning_rate": 0.0}, "learning_rate is 0.0"),
    ],
)
def test_bad_settings_are_one_clear_error(name, loss, passes, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, NET, loss, passes, options)
