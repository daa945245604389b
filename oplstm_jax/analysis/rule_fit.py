"""How well the LSTM inside OP-LSTM can be fitted to known update rules, by supervised learning.

Signals [T, 2, M, D] are targets, which stay over the passes, and predictions, which are drawn anew in each: anything
that predictions do while a task is learned. A teacher turns them into the outputs [T, M, D] that are asked for, scaled
into (-1, 1), the range of an LSTM; in OP-LSTM gamma, or the meta-learned start, makes up for the scale.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from oplstm_jax.learners.rules import UpdateRule, run_passes
from oplstm_jax.types import Array, Params

DECAY, SLOPE = 0.9, 4.0
PASSES, EXAMPLES, UNITS = 5, 32, 5
TEST_EXAMPLES = 1000


def gradient(signals: Array) -> Array:
    """Target - prediction: the descent direction of the squared error."""
    return 0.4 * _errors(signals)


def sign(signals: Array) -> Array:
    """The sign of target - prediction."""
    return 0.5 * jnp.sign(_errors(signals))


def momentum(signals: Array) -> Array:
    """m_t = 0.9 m_{t-1} + target - prediction."""

    def add(total, error):
        total = DECAY * total + error
        return total, total

    errors = _errors(signals)
    return 0.1 * jax.lax.scan(add, jnp.zeros_like(errors[0]), errors)[1]


def delta(signals: Array) -> Array:
    """(target - s) s (1 - s), s the sigmoid of 4 x prediction: the delta rule of a sigmoid unit."""
    s = jax.nn.sigmoid(SLOPE * signals[:, 1])
    return 1.5 * (signals[:, 0] - s) * s * (1 - s)


def softmax_gradient(signals: Array) -> Array:
    """Target - softmax over the units of 4 x prediction: no rule that sees one unit at a time can compute it."""
    return 0.4 * (signals[:, 0] - jax.nn.softmax(SLOPE * signals[:, 1], axis=-1))


TEACHERS: dict[str, Callable[[Array], Array]] = {
    "gradient": gradient,
    "sign": sign,
    "momentum": momentum,
    "delta": delta,
    "softmax": softmax_gradient,
}


def draw_signals(key: Array, examples: int) -> Array:
    """Signals [T, 2, M, D], all U(-1, 1), of `examples` examples M."""
    keys = jax.random.split(key)
    targets = jax.random.uniform(keys[0], (1, examples, UNITS), minval=-1.0, maxval=1.0)
    predictions = jax.random.uniform(keys[1], (PASSES, examples, UNITS), minval=-1.0, maxval=1.0)
    return jnp.stack((jnp.broadcast_to(targets, predictions.shape), predictions), 1)


def outputs_of(rule: UpdateRule, params: Params, signals: Array) -> Array:
    """What a rule emits [T, M, D] for signals [T, F, M, D], from its first state on."""
    passes, _, examples, units = signals.shape
    start = rule.start(params, examples, units, passes)
    return run_passes(lambda state, at: rule.step(params, state, signals[at]), start, passes)[1]


def unexplained(rule: UpdateRule, params: Params, signals: Array, wanted: Array) -> Array:
    """The rule's squared error over the variance of the outputs wanted [T, M, D]: 0 is perfect, 1 a constant."""
    return jnp.mean(jnp.square(outputs_of(rule, params, signals) - wanted)) / jnp.var(wanted)


def fit(rule: UpdateRule, key: Array, teacher: Array | int, steps: int, learning_rate: float = 0.02) -> Array:
    """Fits a rule from a random start to teacher number `teacher` of `TEACHERS`: `unexplained` on fresh signals.

    Adam on fresh signals in every step, its learning rate taken to zero by a cosine.
    """
    init_key, steps_key, test_key = jax.random.split(key, 3)
    optimiser = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def loss(params, key, examples):
        signals = draw_signals(key, examples)
        wanted = jnp.stack([teach(signals) for teach in TEACHERS.values()])[teacher]
        return unexplained(rule, params, signals, wanted)

    def step(carry, number):
        params, state = carry
        grads = jax.grad(loss)(params, jax.random.fold_in(steps_key, number), EXAMPLES)
        updates, state = optimiser.update(grads, state)
        return (optax.apply_updates(params, updates), state), None

    params = rule.init(init_key, 2, UNITS)
    (params, _), _ = jax.lax.scan(step, (params, optimiser.init(params)), jnp.arange(steps))
    return loss(params, test_key, TEST_EXAMPLES)


def fit_all(rule: UpdateRule, seeds: int, steps: int) -> Array:
    """`unexplained` [teachers, seeds] of a rule fitted to every teacher from several random starts, all at once."""
    keys = jax.random.split(jax.random.key(0), seeds)
    over_seeds = jax.vmap(functools.partial(fit, rule, steps=steps), in_axes=(0, None))
    return jax.vmap(over_seeds, in_axes=(None, 0))(keys, jnp.arange(len(TEACHERS)))


def _errors(signals: Array) -> Array:
    return signals[:, 0] - signals[:, 1]
