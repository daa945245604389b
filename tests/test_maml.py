"""MAML against finite differences, and what first order and clipping change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from learner_table import blobs, waves

from oplstm_jax.learners import fast_weights
from oplstm_jax.learners.maml import maml
from oplstm_jax.losses import cross_entropy, mean_squared_error
from oplstm_jax.meta import task_outputs
from oplstm_jax.nets.mlp import MLP

NET = MLP((5,), 1)


def _loss(learner, episode):
    return lambda params: mean_squared_error(task_outputs(learner, params, episode), episode.query.y)


def _double(tree):
    return jax.tree.map(lambda a: a.astype(jnp.float64), tree)


@pytest.mark.parametrize("clip", [pytest.param(None, marks=pytest.mark.slow), 0.5])
def test_second_order_gradient_is_that_of_finite_differences(x64, clip):
    episode = _double(waves(jax.random.key(0)))
    learner = maml(NET, mean_squared_error, 3, 0.05, clip=clip)
    params = _double(learner.init(jax.random.key(1), episode))
    check_grads(_loss(learner, episode), (params,), order=1, modes=["rev"], eps=1e-6, atol=1e-5, rtol=1e-5)


def test_first_order_is_the_gradient_at_the_adapted_weights(x64):
    episode = _double(waves(jax.random.key(0)))
    learner = maml(NET, mean_squared_error, 3, 0.05, second_order=False)
    params = _double(learner.init(jax.random.key(1), episode))
    fast, _ = learner.adapt(params, episode.support)
    at_adapted = jax.grad(lambda w: mean_squared_error(NET.apply({"params": w}, episode.query.x), episode.query.y))
    ours = jax.grad(_loss(learner, episode))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), ours, at_adapted(fast["net"].weights))
    second = jax.grad(_loss(maml(NET, mean_squared_error, 3, 0.05), episode))(params)
    assert np.abs(ours["out"]["kernel"] - second["out"]["kernel"]).max() > 1e-4


def test_what_is_recomputed_is_what_was_kept(x64):
    episode = _double(waves(jax.random.key(0)))
    kept, again = (maml(NET, mean_squared_error, 3, 0.05, recompute=flag) for flag in (False, True))
    params = _double(kept.init(jax.random.key(1), episode))
    ours, same = (jax.value_and_grad(_loss(learner, episode))(params) for learner in (again, kept))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14), ours, same)


@pytest.mark.parametrize(
    ("norm", "passes", "second"), [("none", 1, True), ("transductive", 3, True), ("support", 2, False)]
)
def test_factors_and_formed_kernels_are_the_same_learner(norm, passes, second, x64):
    episode = _double(blobs(jax.random.key(0)))
    net = MLP((6, 5), 3, norm=norm)
    makers = [maml(net, cross_entropy, passes, 0.1, second, low_rank=flag) for flag in (True, False)]
    params = _double(makers[0].init(jax.random.key(1), episode))

    def outcome(learner):
        fast, info = learner.adapt(params, episode.support)
        grads = jax.grad(lambda p: cross_entropy(task_outputs(learner, p, episode), episode.query.y))(params)
        return fast_weights.merged(fast["net"]), info, learner.predict(params, fast, episode.query.x), grads

    both = map(jax.jit(outcome, static_argnums=0), makers)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), *both)


def test_factors_are_kept_where_they_are_smaller_and_can_be():
    episode = blobs(jax.random.key(0))
    wide = MLP((200, 200), 3)

    def kept(net, **options):
        learner = maml(net, cross_entropy, 2, 0.1, **options)
        params = learner.init(jax.random.key(1), episode)
        fast = jax.eval_shape(learner.adapt, params, episode.support)[0]["net"]
        return {name: own["inputs"].shape for name, own in fast.factors.items()}

    rows = 2 * len(episode.support.x)
    inputs = {"dense_0": (rows, episode.support.x[0].size), "dense_1": (rows, 200), "out": (rows, 200)}
    assert kept(wide) == kept(MLP((200, 200), 3), low_rank=True) == inputs
    assert kept(MLP((5,), 3)) == kept(wide, low_rank=False) == kept(wide, clip=1.0) == {}
    with pytest.raises(ValueError, match="low_rank is True: expected False or None"):
        kept(wide, low_rank=True, clip=1.0)


def test_clip_bounds_every_entry_of_a_step():
    episode = waves(jax.random.key(0))
    learner = maml(NET, mean_squared_error, 2, 0.1, clip=0.25)
    params = learner.init(jax.random.key(1), episode)
    _, info = learner.adapt(params, episode.support)
    largest = max(np.abs(u).max() for u in jax.tree.leaves(info["updates"]))
    np.testing.assert_allclose(largest, 0.1 * 0.25, rtol=1e-6)


@pytest.mark.parametrize(("name", "value"), [("clip", -1.0), ("clip", 0.0), ("inner_lr", -0.1), ("inner_lr", 0.0)])
def test_steps_and_bounds_that_are_not_above_zero_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}: expected above 0"):
        maml(NET, mean_squared_error, 2, **{"inner_lr": 0.1, name: value})


def test_the_derivative_of_clipping_keeps_less_than_the_gradient():
    episode = waves(jax.random.key(0))

    def kept(clip):
        learner = maml(NET, mean_squared_error, 2, 0.1, clip=clip)
        params = learner.init(jax.random.key(1), episode)
        _, back = jax.vjp(_loss(learner, episode), params)
        return sum(a.nbytes for a in jax.tree.leaves(back)), sum(w.size for w in jax.tree.leaves(params))

    (bounded, weights), (free, _) = kept(0.25), kept(None)
    assert bounded - free < 2 * weights * 4  # bytes of 2 passes; masks of ties would make twice as many


def test_the_support_loss_falls_pass_by_pass():
    episode = waves(jax.random.key(0))
    learner = maml(NET, mean_squared_error, 5, 0.01)
    _, info = learner.adapt(learner.init(jax.random.key(1), episode), episode.support)
    assert (np.diff(info["loss"]) < 0).all()
