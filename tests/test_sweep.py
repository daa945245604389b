"""Sweeps: variants on equal budgets, their table, tests with other passes; the options they vary."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import waves
from processes import SMALL

from experiments import sweep_table
from experiments.run import run_seeds
from experiments.sweeps import SWEEPS, Variant
from oplstm_jax import MLP
from oplstm_jax.drawing import finish, panels, series
from oplstm_jax.files import read_arrays, write_text
from oplstm_jax.learners.op_lstm import op_lstm
from oplstm_jax.records import RESULT, read_config, read_result

FIELDS = {**SMALL, "hidden": (6,), "passes": 2}


@pytest.mark.parametrize("name", SWEEPS)
def test_variants_differ_in_name_and_configuration_alone(name):
    sweep = SWEEPS[name]
    configs = [sweep.configure(variant, seed=1).to_json_best_effort() for variant in sweep.variants]
    assert len(set(configs)) == len({variant.folder for variant in sweep.variants}) == len(sweep.variants)
    tasks = {json.loads(config)["train_tasks"] for config in configs}
    assert len(tasks) == 1 and not any(" " in variant.folder for variant in sweep.variants)


def test_a_field_that_does_not_exist_is_refused():
    with pytest.raises(KeyError, match="gama"):
        SWEEPS["widths"].configure(Variant("typo", {"gama": 1}), seed=0)


def test_a_sweep_is_trained_tested_with_other_passes_and_written(tmp_path):
    variants = (Variant("one", {"options.sizes": (1,)}), Variant("norms", {"options.layer_gammas": True}))
    sweep = dataclasses.replace(SWEEPS["widths"], fields=FIELDS, variants=variants, passes=(1, 3))
    for variant in variants[:1]:
        config = sweep.configure(variant, seed=0)
        config.num_seeds = 2
        results = run_seeds(config, tmp_path / variant.folder)
    text = sweep_table.write(sweep, tmp_path, tmp_path / "table", seeds=2)
    assert "| one | 40 |" in text and "norms" not in text and "test, 3 passes" in text
    table = json.loads((tmp_path / "table" / "table.json").read_text())
    assert len(table["rows"]) == 1 and table["rows"][0][4]["mean"] == pytest.approx(
        np.mean([r["score"] for r in results])
    )
    tested = read_result(tmp_path / "one" / "seed1" / "passes3")["config"]
    assert (tested["seed"], tested["eval_passes"]) == (1, 3)
    assert (tmp_path / "table" / "figure.png").read_bytes().startswith(b"\x89PNG")
    chooses = dataclasses.replace(sweep, selects=True, passes=())
    choosing = sweep_table.write(chooses, tmp_path, tmp_path / "chosen", seeds=2)
    assert "no test tasks were scored" in choosing and "test, " not in choosing
    with pytest.raises(ValueError, match="no finished run of this sweep"):
        sweep_table.write(sweep, tmp_path / "elsewhere", tmp_path, seeds=2)


@pytest.mark.parametrize(
    ("finished", "seeds", "tabled"),
    [
        ([".", "seed0", "seed1", "seed2"], 3, ["seed0", "seed1", "seed2"]),
        (["seed0", "seed1", "seed2"], 2, ["seed0", "seed1"]),
        (["seed0", "seed1"], 1, ["seed0"]),
        ([".", "seed1"], 2, [".", "seed1"]),
        (["."], 1, ["."]),
        (["seed1"], 3, ["seed1"]),
        ([], 1, []),
    ],
)
def test_a_table_has_the_seeds_asked_for_once_each(tmp_path, finished, seeds, tabled):
    for name in finished:
        (tmp_path / name).mkdir(exist_ok=True)
        write_text(tmp_path / name / "result.json", json.dumps(dict.fromkeys(RESULT)))
    assert sweep_table._finished(tmp_path, seeds) == [tmp_path / name for name in tabled]


def test_norms_of_layers_are_their_own_and_meta_learned():
    learner, episode = op_lstm(MLP((6, 5), outputs=1), 2, gamma=0.3, layer_gammas=True), waves(jax.random.key(0))
    params = learner.init(jax.random.key(1), episode)
    np.testing.assert_allclose(params["gamma"], jnp.full(3, 0.3 / np.sqrt(3)), rtol=1e-6)
    gammas = jnp.array([0.1, 0.2, 0.3])
    _, info = learner.adapt({**params, "gamma": gammas}, episode.support)
    norms = [jnp.linalg.norm(update[1]) for update in info["updates"]]
    np.testing.assert_allclose(norms, gammas, rtol=1e-5)
    joint = op_lstm(MLP((6, 5), outputs=1), 2, gamma=0.3)
    _, info = joint.adapt(joint.init(jax.random.key(1), episode), episode.support)
    np.testing.assert_allclose(sum(jnp.sum(update[0] ** 2) for update in info["updates"]), 0.09, rtol=1e-5)
    with pytest.raises(ValueError, match="expected a number for gamma"):
        op_lstm(MLP((6,), outputs=1), 2, gamma=None, layer_gammas=True)


@pytest.mark.slow
def test_variants_on_trained_features_train_these_first(commands, tmp_path):
    ended = commands("experiments.sweep", "features", "--train_tasks=8", "--seeds=2", f"--workdir={tmp_path}")
    assert ended.code == 0, ended.output
    joint, frozen = (read_config(tmp_path / name / "seed1") for name in ("trained_with_it", "frozen"))
    assert {name for name in joint if joint[name] != frozen[name]} == {"features_from"}
    assert read_config(frozen["features_from"])["learner"] == "protonet"
    names = {name.split("/")[0] for name in read_arrays(tmp_path / "frozen" / "seed1" / "params.npz", "parameters")}
    assert names == {"lstm", "readout"}
    assert "| frozen | 77312 |" in ended.output  # of an LSTM of 128 units that reads 16 features and 5 targets


def test_every_line_of_a_figure_looks_like_no_other():
    looks = series(map(str, [*range(15), *range(15)]))
    assert len(looks) == 15 == len({(look["color"], look["fillstyle"]) for look in looks.values()})
    assert len({(look["ls"], look["marker"], look["fillstyle"]) for look in looks.values()}) == 15  # in black and white


@pytest.mark.parametrize("letters", [4, 12, 40])
def test_a_legend_is_no_wider_than_its_figure(tmp_path, letters):
    figure, axes = panels(1, size=(7.5, 3))
    for number in range(5):
        axes[0].plot([0, 1], label=str(number) * letters)
    finish(figure, axes, tmp_path / "figure.png")
    figure.draw_without_rendering()
    assert figure.legends[0].get_window_extent().width <= figure.bbox.width
