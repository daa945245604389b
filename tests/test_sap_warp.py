"""SAP and Warp-MAML: what adapts, where they start, and Warp-MAML's meta-gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import pictures

from oplstm_jax.learners import make, sap, warp_maml
from oplstm_jax.losses import cross_entropy
from oplstm_jax.meta import task_objective, task_outputs
from oplstm_jax.nets.conv4 import Conv4
from oplstm_jax.nets.mlp import MLP

NET = Conv4(filters=4, outputs=3, blocks=2)


def _learner(name, passes, **options):
    return make(name, NET, cross_entropy, passes, {"inner_lr": 0.1, **options})


def _start(learner):
    episode = pictures(jax.random.key(0))
    return learner.init(jax.random.key(1), episode), episode


@pytest.mark.parametrize("name", ["sap", "warp_maml"])
def test_the_start_is_conv4(name):
    learner = _learner(name, 0)
    params, episode = _start(learner)
    plain = {part: params[part] for part in NET.init(jax.random.key(2), episode.support.x)["params"]}
    expected = NET.apply({"params": plain}, episode.query.x)
    np.testing.assert_allclose(task_outputs(learner, params, episode), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "frozen"),
    [("sap", ("conv_", "norm_")), ("warp_maml", ("conv_0", "norm_0", "warp_"))],
)
def test_only_what_should_adapts(name, frozen):
    learner = _learner(name, 1)
    params, episode = _start(learner)
    _, info = learner.adapt(params, episode.support)
    for path, update in jax.tree_util.tree_flatten_with_path(info["updates"])[0]:
        part, leaf = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        if (part, leaf) != ("conv_1", "bias"):  # a batch normalisation takes it out again
            assert bool(jnp.any(update != 0)) != (part.startswith(frozen) or "strength" in leaf), path


def test_transforms_that_are_left_out_have_no_parameters():
    params, _ = _start(_learner("sap", 1, transforms=("full", "out_scale")))
    assert set(params["map_0"]) == {"full", "conv_strengths"}
    assert set(params["scale_0"]) == {"out_scale", "strengths"}
    assert "logits" not in params
    assert set(_start(_learner("sap", 1, transforms=()))[0]) == {"conv_0", "norm_0", "conv_1", "norm_1", "out"}


def test_meta_gradient_of_one_step_is_the_ordinary_one():
    learner = _learner("warp_maml", 1)
    params, episode = _start(learner)
    ordinary = jax.jit(jax.grad(lambda p: cross_entropy(task_outputs(learner, p, episode), episode.query.y)))(params)
    found = jax.jit(jax.grad(lambda p: task_objective(learner, cross_entropy)(p, episode)[0]))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, ordinary)


def test_meta_gradient_of_the_base_is_that_of_the_losses_after_every_step():
    learners = [_learner("warp_maml", passes) for passes in (1, 2)]
    params, episode = _start(learners[0])

    def losses(params):
        return sum(cross_entropy(task_outputs(learner, params, episode), episode.query.y) for learner in learners)

    ordinary = jax.jit(jax.grad(losses))(params)
    found = jax.jit(jax.grad(lambda p: task_objective(learners[1], cross_entropy)(p, episode)[0]))(params)
    for part in found:
        gaps = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), found[part], ordinary[part])
        gap = max(jax.tree.leaves(gaps))
        assert (gap > 1e-4) == part.startswith("warp_"), part


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sap", "warp_maml"])
def test_steps_that_are_recomputed_are_those_that_were_kept(name):
    kept, again = (_learner(name, 2, recompute=flag) for flag in (False, True))
    params, episode = _start(kept)

    def gradient(learner):
        return jax.grad(lambda p: task_objective(learner, cross_entropy)(p, episode)[0])

    programs = {str(jax.make_jaxpr(gradient(learner))(params)) for learner in (again, kept)}
    assert len(programs) == 2
    found, expected = (jax.jit(gradient(learner))(params) for learner in (again, kept))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)


@pytest.mark.parametrize(("factory", "network"), [(sap, "SapConv4"), (warp_maml, "WarpConv4")])
@pytest.mark.parametrize("base", [NET, MLP((4,), 3)])
def test_networks_without_what_stays_or_adapts_are_refused(factory, network, base):
    with pytest.raises(ValueError, match=f"net is {type(base).__name__}: expected {network} .`make` converts a Conv4"):
        factory(base, cross_entropy, 1, 0.1)


@pytest.mark.parametrize(
    ("name", "base", "options", "message"),
    [
        ("sap", NET, {"transforms": ("point", "line")}, "unknown transform 'line': expected some of point, full"),
        ("sap", MLP((4,), 3), {}, "sap is defined on Conv-4"),
        ("warp_maml", NET, {"warp_start": "ones"}, "unknown warp_start 'ones': expected one of identity, zeros"),
        ("warp_maml", None, {}, "needs a base-learner"),
    ],
)
def test_bad_options(name, base, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, base, cross_entropy, 1, {"inner_lr": 0.1, **options})
