"""Losses and scores of one task: pure functions of outputs [Q, C] and targets [Q, C].

All raise ValueError for shapes that differ and for outputs that are no floats. Of no queries at all they are NaN.
"""

import jax
import jax.numpy as jnp

from oplstm_jax.types import Array


def mean_squared_error(outputs: Array, targets: Array) -> Array:
    """Mean over queries and outputs of the squared difference. Shapes [Q, C] and [Q, C], in target units squared."""
    _check_shapes(outputs, targets)
    return jnp.mean(jnp.square(outputs - targets))


def cross_entropy(outputs: Array, targets: Array) -> Array:
    """Mean over queries of the cross entropy of logits [Q, C] with one-hot (or soft) targets [Q, C], in nats."""
    _check_shapes(outputs, targets)
    return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(outputs, axis=-1), axis=-1))


def accuracy(outputs: Array, targets: Array) -> Array:
    """Fraction of queries whose largest logit is the target class. Shapes [Q, C] and [Q, C].

    NaN where a logit is NaN or +inf: a network that diverged has no largest logit, and is not right by accident.
    """
    _check_shapes(outputs, targets)
    right = jnp.argmax(outputs, axis=-1) == jnp.argmax(targets, axis=-1)
    return jnp.where(jnp.all(outputs < jnp.inf), jnp.mean(right, dtype=outputs.dtype), jnp.nan)


def _check_shapes(outputs: Array, targets: Array) -> None:
    if outputs.shape != targets.shape or outputs.ndim != 2:
        raise ValueError(f"outputs are {list(outputs.shape)}, targets {list(targets.shape)}: expected the same [Q, C]")
    if not jnp.issubdtype(outputs.dtype, jnp.floating) or jnp.issubdtype(targets.dtype, jnp.complexfloating):
        raise ValueError(f"outputs are {outputs.dtype}, targets {targets.dtype}: expected floats")
