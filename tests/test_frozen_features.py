"""Features of another run are used as they are, and only what is left is meta-learned."""

import jax
import numpy as np
import pytest
from processes import small_images

from experiments.run import plain, run_config
from oplstm_jax import build
from oplstm_jax.files import read_arrays
from oplstm_jax.learners.frozen_features import frozen_features
from oplstm_jax.learners.lstm import pi_lstm
from oplstm_jax.meta import task_outputs
from oplstm_jax.params import load, save
from oplstm_jax.trained import score_trained
from oplstm_jax.workdir import Workdir


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with the features of a ProtoNet, and the configuration of a mean-pooled LSTM on them."""
    folder = tmp_path_factory.mktemp("frozen")
    trained = plain(small_images("protonet", folder))
    episode = build.build_sampler(trained, "train")(jax.random.key(1))
    (folder / "protonet").mkdir()
    save(folder / "protonet" / "params.npz", build.build_learner(trained, 0).init(jax.random.key(2), episode))
    return folder / "protonet", small_images("pi_lstm", folder, features_from=str(folder / "protonet"))


def _others(run, folder):
    """The configuration, but with other features, in a folder."""
    found = read_arrays(run[0] / "params.npz", "parameters")
    folder.mkdir()
    save(folder / "params.npz", {name: array + 1 for name, array in found.items()})
    return {**plain(run[1]), "features_from": str(folder)}


@pytest.mark.slow
def test_a_run_meta_learns_what_is_left(run, tmp_path):
    run_config(run[1], tmp_path)
    names = set(read_arrays(tmp_path / "params.npz", "parameters"))
    assert names and not [name for name in names if name.startswith("features/")]
    score_trained(tmp_path, test_tasks=2)
    moved = _others(run, tmp_path / "others")["features_from"]
    with pytest.raises(ValueError, match="others: other parameters than the run was trained with"):
        score_trained(tmp_path, features_from=moved)


def test_a_run_does_not_go_on_with_other_features(run, tmp_path):
    workdir = Workdir(tmp_path / "run", {})
    for _ in range(2):
        workdir.claim_features(build.features_digest(plain(run[1])))
    with pytest.raises(ValueError, match="the run at features_from has other parameters than when it started"):
        workdir.claim_features(build.features_digest(_others(run, tmp_path / "others")))
    workdir.close()


def test_features_are_those_of_the_run(run):
    folder, config = run
    learner = build.build_learner(plain(config), 2)
    joint = build.build_learner({**plain(config), "features_from": None}, 2)
    episode = build.build_sampler(plain(config), "test")(jax.random.key(1))
    params = learner.init(jax.random.key(0), episode)
    whole = joint.init(jax.random.key(0), episode)
    whole = {**whole, **load(folder / "params.npz", {"features": whole["features"]})}
    outputs = (task_outputs(*one, episode) for one in ((learner, params), (joint, whole)))
    np.testing.assert_allclose(*outputs, atol=1e-6)


def test_features_that_do_not_fit_are_refused(run):
    _, config = run
    wider = {**plain(config), "hidden": (9,)}
    with pytest.raises(ValueError, match=r"array 'features/dense_0/bias' has shape \(8,\), expected \(9,\)"):
        build.build_learner(wider, 2)
    with pytest.raises(ValueError, match="nowhere"):
        build.build_learner({**plain(config), "features_from": "nowhere"}, 2)


def test_a_learner_without_a_network_has_none_to_freeze(run):
    episode = build.build_sampler(plain(run[1]), "test")(jax.random.key(1))
    with pytest.raises(ValueError, match="no features to freeze"):
        frozen_features(pi_lstm(None, (4,), 1), {}).init(jax.random.key(0), episode)
