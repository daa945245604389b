"""What a coordinate-wise LSTM can be: weights that compute known rules, and rules it is fitted to."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import blobs as sample_blobs

from oplstm_jax import MLP, op_lstm, op_lstm_head
from oplstm_jax.analysis import rule_fit
from oplstm_jax.analysis.rule_weights import TANH_1, delta_weights, gradient_weights, momentum_weights
from oplstm_jax.learners.rules import coordinate_lstm, fixed_rule, full_lstm

# rule's outputs without the scale of its teacher, weights for an epsilon, widths
KNOWN = {
    "gradient": (lambda s: rule_fit.gradient(s) / 0.4, gradient_weights, (1,)),
    "momentum": (lambda s: rule_fit.momentum(s) / 0.1, lambda e: momentum_weights(e, rule_fit.DECAY), (1,)),
    "delta": (lambda s: rule_fit.delta(s) / 1.5, lambda e: delta_weights(e, rule_fit.SLOPE), (3, 1)),
}


def blobs():
    return sample_blobs(jax.random.key(1))


@pytest.fixture
def signals():
    return rule_fit.draw_signals(jax.random.key(0), 20)


def _emitted(weights, sizes, signals):
    return rule_fit.outputs_of(coordinate_lstm(sizes), weights, signals)


@pytest.mark.parametrize("name", KNOWN)
def test_small_inputs_compute_known_rules_up_to_the_square_of_epsilon(name, x64):
    """Against the rule itself: a quarter of the error at half the epsilon."""
    wanted, weights, sizes = KNOWN[name]
    signals = rule_fit.draw_signals(jax.random.key(0), 20).astype(jnp.float64)
    errors = [
        jnp.max(jnp.abs(_emitted(weights(epsilon), sizes, signals) / epsilon - wanted(signals)))
        for epsilon in (0.02, 0.01, 0.005)
    ]
    assert errors[-1] < 5e-3
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 4, rtol=0.02)


def test_a_large_epsilon_is_the_sign_rule(signals):
    found = _emitted(gradient_weights(1e6), (1,), signals)
    np.testing.assert_allclose(found, TANH_1 * np.sign(signals[:, 0] - signals[:, 1]), rtol=1e-5)


def test_outputs_stay_below_one_and_belong_to_their_coordinate(signals):
    rule = coordinate_lstm((5, 5, 1))
    params = jax.tree.map(lambda w: 30 * w, rule.init(jax.random.key(1), 2, 5))
    before = rule_fit.outputs_of(rule, params, 100 * signals)
    after = rule_fit.outputs_of(rule, params, 100 * signals.at[..., 1:].set(0.0))
    assert jnp.max(jnp.abs(before)) <= 1
    np.testing.assert_array_equal(before[..., 0], after[..., 0])


def test_teachers_against_their_formulas(signals):
    y, p = np.asarray(signals[:, 0], float), np.asarray(signals[:, 1], float)
    total = sum(0.9 ** (4 - t) * (y[t] - p[t]) for t in range(5))
    np.testing.assert_allclose(rule_fit.momentum(signals)[-1], 0.1 * total, rtol=1e-4, atol=1e-6)
    unit = 1 / (1 + np.exp(-4 * p))
    np.testing.assert_allclose(rule_fit.delta(signals), 1.5 * (y - unit) * unit * (1 - unit), rtol=1e-4, atol=1e-6)
    shares = np.exp(4 * p) / np.exp(4 * p).sum(-1, keepdims=True)
    np.testing.assert_allclose(rule_fit.softmax_gradient(signals), 0.4 * (y - shares), rtol=1e-4, atol=1e-6)
    for teach in rule_fit.TEACHERS.values():
        assert teach(signals).shape == (5, 20, 5) and jnp.max(jnp.abs(teach(signals))) < 1


def test_what_is_unexplained_is_nothing_of_the_rule_itself_and_all_of_a_constant(signals):
    wanted = rule_fit.gradient(signals)
    for function, share in ((lambda y, p: 0.4 * (y - p), 0.0), (lambda y, p: jnp.full_like(p, jnp.mean(wanted)), 1.0)):
        found = rule_fit.unexplained(fixed_rule(function), (), signals, wanted)
        np.testing.assert_allclose(found, share, atol=1e-5)


@pytest.mark.slow
def test_fitting_finds_what_the_widths_allow():
    """The softmax needs all units: the coordinate-wise LSTM keeps an error that the full one does not have."""
    rules = coordinate_lstm((5, 1)), full_lstm((20, 5))
    alone, whole = (jax.jit(lambda rule=rule: rule_fit.fit_all(rule, 1, 600))()[:, 0] for rule in rules)
    names = list(rule_fit.TEACHERS)
    assert all(alone[names.index(name)] < 0.05 for name in ("gradient", "momentum"))
    assert whole[names.index("softmax")] < 0.5 * alone[names.index("softmax")]


WRONG = {
    "sizes of one": (lambda: op_lstm_head(None, 2, (20, 20, 1)), "rule is (20, 20, 1): expected an UpdateRule such as"),
    "a factory": (lambda: op_lstm(MLP((8,), 3), 2, coordinate_lstm), "expected an UpdateRule such as coordinate_lstm"),
    "a number": (lambda: coordinate_lstm(5), "sizes is 5: expected widths such as (40, 40)"),
    "a float": (lambda: full_lstm((5.0, 3)), "a width in sizes is 5.0: expected a whole number, 1 or more"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_rule_is_refused_at_once(case):
    make, words = WRONG[case]
    with pytest.raises(ValueError, match=re.escape(words)):
        make()


def test_outputs_of_a_rule_have_a_place_for_every_unit():
    learner, episode = op_lstm_head(None, 1, fixed_rule(lambda y, p: (y - p).mean(1, keepdims=True))), blobs()
    with pytest.raises(ValueError, match=r"outputs of the rule are \[6, 1\]: expected \[M, D\], \[6, 3\]"):
        learner.adapt(learner.init(jax.random.key(0), episode), episode.support)


def test_a_rule_of_all_units_at_once_is_none_of_hidden_layers():
    learner = op_lstm(MLP((8,), 3), 2, full_lstm((5, 3)), full_lstm((5, 8)))
    with pytest.raises(ValueError, match="full_lstm reads the units of one layer: it is no rule of hidden layers"):
        learner.init(jax.random.key(0), blobs())


def test_a_rule_may_have_one_pass(signals):
    rule = coordinate_lstm((3, 1))
    params = rule.init(jax.random.key(0), 2, signals.shape[-1])
    first = rule_fit.outputs_of(rule, params, signals[:1])
    np.testing.assert_allclose(first, rule_fit.outputs_of(rule, params, signals)[:1], rtol=1e-5)
