"""`check_learner` lets good learners pass and says what is wrong with others."""

import jax
import jax.numpy as jnp
import pytest
from learner_table import ROWS, blobs

from oplstm_jax.contract import check_learner
from oplstm_jax.losses import cross_entropy
from oplstm_jax.types import Learner

GOOD = ("pi_lstm-classes-none", "op_lstm-classes-transductive", "maml-sine-none", "random-classes-none")


@pytest.mark.parametrize("name", [*GOOD[::3], *(pytest.param(name, marks=pytest.mark.slow) for name in GOOD[1:3])])
def test_learners_of_the_library_keep_the_contract(name):
    row = next(row for row in ROWS if row.name == name)
    check_learner(row.make(2), row.sample, row.loss, row.without_gradient)


def _init(key, episode):
    return {"centre": jnp.ones(_flat(episode.support.x).shape[1]), "sharpness": jnp.ones(())}


def _flat(x):
    return x.reshape(len(x), -1)


def _adapt(params, support, *, key=None):
    means = support.y.T @ _flat(support.x) / jnp.sum(support.y, 0)[:, None]
    return means - params["centre"][None], {"means": means[None]}


def _predict(params, fast, x):
    return params["sharpness"] * (_flat(x) - params["centre"][None]) @ fast.T


LEARNER = Learner(_init, _adapt, _predict)


def _stopped(params, fast, x):
    return _predict({**params, "sharpness": jax.lax.stop_gradient(params["sharpness"])}, fast, x)


def _branching(params, support, *, key=None):
    return _adapt(params, support) if support.x.sum() > 0 else (params["centre"][None], {})


def _counting(params, support, *, key=None):
    """Is another function each time it is called."""
    _counting.calls = getattr(_counting, "calls", 0) + 1
    fast, info = _adapt(params, support)
    return fast * _counting.calls, info


def _unequal(params, support, *, key=None):
    fast, info = _adapt(params, support)
    return fast, {**info, "norms": jnp.ones(3)}


BREACHES = {
    "whole numbers": (LEARNER._replace(init=lambda *_: {"centre": jnp.arange(2)}), "centre' is int32: expected floats"),
    "no key": (LEARNER._replace(adapt=lambda *given: _adapt(*given)), "adapt: .*'key': expected adapt.params"),
    "no info": (LEARNER._replace(adapt=lambda *given, key=None: _adapt(*given)[0]), "expected \\(fast, info\\)"),
    "passes": (LEARNER._replace(adapt=_unequal), "expected the same number of passes first"),
    "one output": (LEARNER._replace(predict=lambda *given: _predict(*given)[:, 0]), "returned float32 \\[\\d+\\]: exp"),
    "nan": (LEARNER._replace(predict=lambda *given: _predict(*given) * jnp.inf), "outputs are not all finite"),
    "python": (LEARNER._replace(adapt=_branching), "cannot be compiled: .*bool"),
    "state": (LEARNER._replace(adapt=_counting), "losses of tasks are .* one by one and .* under vmap"),
    "unused": (LEARNER._replace(predict=_stopped), "'sharpness' has no gradient"),
}


def test_a_small_learner_keeps_the_contract():
    check_learner(LEARNER, blobs, cross_entropy)


@pytest.mark.parametrize("breach", BREACHES)
def test_breaches_are_said(breach):
    learner, words = BREACHES[breach]
    with pytest.raises(ValueError, match=words):
        check_learner(learner, blobs, cross_entropy)


def test_losses_that_are_not_numbers_are_said():
    with pytest.raises(ValueError, match="loss: returned .*: expected a number"):
        check_learner(LEARNER, blobs, lambda outputs, y: jnp.abs(outputs - y).sum(1))


def test_parameters_may_be_named_that_need_no_gradient():
    learner = LEARNER._replace(predict=_stopped)
    check_learner(learner, blobs, cross_entropy, without_gradient=("sharpness",))
