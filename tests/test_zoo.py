"""Every entry of the zoo loads, says where it comes from, and scores what its card says."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from processes import ROOT

from experiments.publish_zoo import publish
from oplstm_jax import build, zoo
from oplstm_jax.data.cache import is_prepared
from oplstm_jax.data.sine import sample_episode
from oplstm_jax.evaluate import make_evaluate, task_keys
from oplstm_jax.losses import mean_squared_error
from oplstm_jax.meta import init_state, make_chunk, make_step
from oplstm_jax.params import sha256
from oplstm_jax.statistics import estimate
from oplstm_jax.types import Split

FIELDS = (
    "name metric score interval test_tasks test_query norm tests config seed seeds data date commit hardware command "
    "input_shape bytes params_sha256 left_out first_scores"
).split()
LARGEST, TOTAL = 2_000_000, 20_000_000  # bytes


@pytest.mark.parametrize("name", zoo.names())
def test_a_card_says_all_it_must(name):
    card = zoo.card(name)
    assert not [field for field in FIELDS if field not in card]
    assert card["command"] and card["commit"] and card["hardware"] and card["date"] and card["name"] == name
    assert "=/" not in card["command"] and not Path(card["data"]).is_absolute()  # folders of a machine
    file = zoo.FOLDER / f"{name}.npz"
    assert file.exists() == (card["left_out"] is None)
    assert (card["bytes"] > LARGEST) == (card["left_out"] is not None)
    if file.exists():
        assert file.stat().st_size == card["bytes"]
        learner, params = zoo.load(name)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} <= {"float32", "int32"}
        assert callable(learner.adapt)


def test_the_zoo_is_small_and_goes_with_the_package():
    files = [file for kind in ("*.npz", "*.json") for file in zoo.FOLDER.glob(kind)]
    assert files and sum(file.stat().st_size for file in files) < TOTAL
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["oplstm_jax"]
    kept = {file for pattern in patterns for file in (ROOT / "oplstm_jax").glob(pattern)}
    assert {*files, ROOT / "oplstm_jax/page.html"} <= kept


def _scores(name, count):
    """(card, scores of the first `count` test tasks of the entry's own test)."""
    card = zoo.card(name)
    config = card["config"]
    if config["data"] != "sine" and not is_prepared(config["data"]):
        pytest.skip(f"needs the images: python -m oplstm_jax.data prepare {config['data']}")
    learner, params = zoo.load(name)
    problem, settings = build.build_problem(config), build.build_settings(config)
    evaluate = make_evaluate(learner, problem.score, settings.tasks_at_once)
    return card, np.asarray(evaluate(params, task_keys("test", count), problem.sampler("test")))


@pytest.mark.parametrize("name", ["sine-5shot-pi_lstm", "sine-5shot-op_lstm"])
def test_first_scores_are_those_of_the_card(name):
    card, scores = _scores(name, 50)
    np.testing.assert_allclose(scores, card["first_scores"][:50], rtol=0.02, atol=1e-4)
    assert np.mean(scores) == pytest.approx(np.mean(card["first_scores"][:50]), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in zoo.names() if not zoo.card(name)["left_out"]])
def test_an_entry_scores_what_its_card_says(name):
    card, scores = _scores(name, zoo.card(name)["test_tasks"])
    found = estimate(scores)
    assert found.mean == pytest.approx(card["score"], rel=1e-3)
    assert found.interval == pytest.approx(card["interval"], rel=2e-2)  # products of a GPU are TF32


def test_unknown_names_get_the_nearest_known_one():
    with pytest.raises(ValueError, match="unknown entry 'sine-5shot-op_lstn'; did you mean 'sine-5shot-op_lstm'?"):
        zoo.load("sine-5shot-op_lstn")


def test_the_zoo_is_there_after_import():
    code = "import oplstm_jax; print(oplstm_jax.zoo.names()[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == zoo.names()[0]


@pytest.fixture(scope="module")
def runs():
    """Finished runs that differ in their seeds."""
    return [ROOT / f"results/sine/runs/pi_lstm-5shot-seed{seed}" for seed in range(3)]


def test_the_best_validated_seed_is_published_and_large_ones_are_left_out(runs, tmp_path):
    validated = [json.loads((run / "result.json").read_text())["validation_score"] for run in runs]
    card = publish("small", runs, tmp_path, largest=LARGEST)
    assert (card["seed"], card["validation_score"], card["seeds"]) == (np.argmin(validated), min(validated), 3)
    assert zoo.names(tmp_path) == ["small"]
    assert jax.tree.leaves(zoo.load("small", tmp_path).params)
    publish("small", runs, tmp_path, largest=10)
    assert not (tmp_path / "small.npz").exists() and "0.1 MB are left out" in zoo.card("small", tmp_path)["left_out"]
    with pytest.raises(ValueError, match="small: parameters of .* left out, .*; train it: "):
        zoo.load("small", tmp_path)


def test_parameters_too_large_for_the_zoo_need_not_have_been_kept(runs, tmp_path):
    bare = [Path(shutil.copytree(run, tmp_path / run.name)) for run in runs]
    for run in bare:
        (run / "params.npz").unlink()
    kept = publish("kept", runs, tmp_path, largest=10)
    card = publish("bare", bare, tmp_path, largest=10)
    assert card["left_out"] == kept["left_out"] and card["params_sha256"] == kept["params_sha256"]
    assert 0.9 * kept["bytes"] < card["bytes"] <= kept["bytes"]
    with pytest.raises(ValueError, match="no params.npz: its parameters were not kept"):
        publish("small", bare, tmp_path, largest=LARGEST)
    assert not (tmp_path / "small.json").exists()


def test_other_settings_go_under_names_of_their_own(commands, tmp_path):
    words = "--workdir=results/best_sine/runs/best", f"--to={tmp_path}", "--suffix=_best"
    done = commands("experiments.publish_zoo", *words)
    assert done.code == 0, done.stderr
    assert zoo.names(tmp_path) == [f"sine-{shot}shot-op_lstm_best" for shot in (10, 20, 5)]
    assert zoo.card("sine-5shot-op_lstm_best", tmp_path)["config"]["options"]["gamma"] == 0.1


def test_damaged_parameters_are_refused(runs, tmp_path):
    publish("small", runs, tmp_path, largest=LARGEST)
    with np.load(tmp_path / "small.npz") as file:
        arrays = {name: file[name] + 1 for name in file.files}
    np.savez(tmp_path / "small.npz", **arrays)
    with pytest.raises(ValueError, match="damaged: its digest"):
        zoo.load("small", tmp_path)


@pytest.mark.parametrize(
    ("workdir", "words"),
    [
        ("tests", "no finished runs"),
        ("results/best_sine/runs", "op_lstm: .*runs/authors/.* and .*runs/best/.* differ in more .*give --workdir of"),
    ],
)
def test_a_folder_without_runs_or_with_those_of_several_configurations_is_refused(commands, workdir, words, tmp_path):
    done = commands("experiments.publish_zoo", f"--workdir={workdir}", f"--to={tmp_path / 'zoo'}")
    assert done.code == 2 and re.search(words, done.stderr) and done.stderr.count("\n") == 1
    assert not (tmp_path / "zoo").exists()


def test_images_of_another_size_are_said_to_be_that():
    learner, params = zoo.load("omniglot-mlp-5way1shot-op_lstm")
    with pytest.raises(ValueError, match="inputs of another size than the parameters are for: .*1024.*784"):
        learner.adapt(params, Split(jnp.zeros((5, 32, 32, 1)), jnp.eye(5)))


def test_an_entry_is_made_for_as_many_passes_as_asked_for_and_trains_on():
    learner, params = zoo.load("sine-5shot-op_lstm", passes=1)
    episode, optimiser = sample_episode(jax.random.key(0), 5), optax.adam(1e-3)
    _, info = learner.adapt(params, episode.support)
    assert info["outputs"].shape == (1, 5, 1)
    state = init_state(learner, optimiser, jax.random.key(1), episode, params)
    step = make_step(learner, mean_squared_error, mean_squared_error, optimiser, 1)
    state, _ = make_chunk(step)(state, jax.random.key(2), 1, lambda key: sample_episode(key, 5))
    assert sha256(params) == zoo.card("sine-5shot-op_lstm")["params_sha256"] != sha256(state.params)
