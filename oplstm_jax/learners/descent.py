"""Ordinary training on a support set, shared by the learners that are not meta-learned."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from oplstm_jax.types import Array, Info

OPTIMISERS: dict[str, Callable[[float], optax.GradientTransformation]] = {"adam": optax.adam, "sgd": optax.sgd}


def make_optimiser(name: str, learning_rate: float) -> optax.GradientTransformation:
    """The optimiser called `name` with its default moments. Raises ValueError for an unknown name or a bad rate."""
    if name not in OPTIMISERS:
        raise ValueError(f"unknown optimiser {name!r}: expected one of {', '.join(OPTIMISERS)}")
    if not learning_rate > 0:
        raise ValueError(f"learning_rate is {learning_rate}: expected a number above 0")
    return OPTIMISERS[name](learning_rate)


def descend(
    loss: Callable[[Any], tuple[Array, Array]], weights: Any, optimiser: optax.GradientTransformation, steps: int
) -> tuple[Any, Info]:
    """`steps` steps on loss(weights) -> (value, outputs [M, C]), each on the whole support set.

    Returns (weights, info): loss [T] and outputs [T, M, C] before each step.
    """

    def step(carry, _):
        weights, state = carry
        (value, outputs), grads = jax.value_and_grad(loss, has_aux=True)(weights)
        updates, state = optimiser.update(grads, state, weights)
        return (optax.apply_updates(weights, updates), state), {"loss": value, "outputs": outputs}

    (weights, _), info = jax.lax.scan(step, (weights, optimiser.init(weights)), length=steps)
    return weights, info
