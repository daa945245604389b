"""Every learner with a small problem of each kind it handles: a new learner is one row here."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.data import sine
from oplstm_jax.learners import make
from oplstm_jax.losses import cross_entropy, mean_squared_error
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.types import Array, Episode, Learner, Loss, Split


class Row(NamedTuple):
    """make(passes) gives the learner; without_gradient: path prefixes of meta-parameters that get none, by design."""

    name: str
    make: Callable[[int], Learner]
    sample: Callable[[Array], Episode]
    loss: Loss
    invariant: bool
    learning_rate: float
    without_gradient: tuple[str, ...] = ()


def blobs(key: Array, way: int = 3, shot: int = 2, query: int = 4, width: int = 6) -> Episode:
    """A classification task: classes are random directions with a little noise, in image-like shape [M, 2, width/2]."""
    keys = jax.random.split(key, 3)
    centres = jax.random.normal(keys[0], (way, 1, width))

    def split(key, count):
        x = centres + 0.3 * jax.random.normal(key, (way, count, width))
        return Split(x.reshape(way * count, 2, width // 2), jnp.repeat(jnp.eye(way), count, axis=0))

    return Episode(split(keys[1], shot), split(keys[2], query))


def waves(key: Array) -> Episode:
    return sine.sample_episode(key, shot=5, query=10)


def _row(name, kind, options, invariant, learning_rate=0.02, norm="none", without_gradient=(), base=True):
    regression = kind == "sine"
    loss = mean_squared_error if regression else cross_entropy
    net = MLP((8, 7), 1 if regression else 3, norm) if base else None
    return Row(
        name=f"{name}-{kind}-{norm}" + "".join(f"-{key}" for key in options if key not in ("sizes", "inner_lr")),
        make=lambda passes: make(name, net, loss, passes, options),
        sample=waves if regression else blobs,
        loss=loss,
        invariant=invariant,
        learning_rate=learning_rate,
        without_gradient=without_gradient,
    )


# A bias right before a batch normalisation is subtracted again and has no gradient (OP-LSTM's rules read it before that).
BATCH_BIASES = tuple(f"{prefix}dense_{layer}/bias" for prefix in ("features/", "") for layer in (0, 1))
SMALL = {"sizes": (4, 1)}
ROWS = [
    _row("lstm", "sine", {"sizes": (8, 8)}, False, base=False),
    _row("lstm", "sine", {"sizes": (8, 8), "inputs": "prev_target"}, False, base=False),
    _row("lstm", "sine", {"sizes": (8, 8), "inputs": "prev_target_pred"}, False, base=False),
    _row("lstm", "sine", {"sizes": (8, 8), "inputs": "prev_target_pred_error"}, False, base=False),
    _row("lstm", "classes", {"sizes": (8,)}, False, base=False),
    _row("lstm", "classes", {"sizes": (8,)}, False, norm="transductive", without_gradient=BATCH_BIASES),
    _row("pi_lstm", "sine", {"sizes": (8, 8), "first_pass_targets": False}, True, base=False),
    _row("pi_lstm", "sine", {"sizes": (8, 8), "average_cells": True}, True, base=False),
    _row("pi_lstm", "classes", {"sizes": (8,)}, True, base=False),
    _row("pi_lstm", "classes", {"sizes": (8,)}, True, norm="layer"),
    _row("op_lstm", "sine", SMALL, True),
    _row("op_lstm", "sine", {**SMALL, "gamma": None}, True),
    _row("op_lstm", "sine", {**SMALL, "backprop_through_predictions": False, "adapt_biases": True}, True),
    _row("op_lstm", "classes", SMALL, True, norm="transductive"),
    _row("op_lstm", "classes", {**SMALL, "gamma": None, "adapt_biases": True}, True, norm="support"),
    _row("op_lstm", "classes", SMALL, True, norm="layer"),
    _row("op_lstm_head", "sine", SMALL, True),
    _row("op_lstm_head", "classes", {**SMALL, "gamma": None}, True, norm="transductive", without_gradient=BATCH_BIASES),
    _row("op_lstm_head", "classes", {**SMALL, "adapt_bias": True, "step_size": True}, True),
    _row("op_lstm_head", "classes", {"sizes": (6, 3), "full": True}, True, norm="layer"),
    _row("op_lstm_head", "classes", {**SMALL, "signals": "target", "gamma": None}, True),
    _row("maml", "sine", {"inner_lr": 0.02}, True, learning_rate=0.05),
    _row("maml", "sine", {"inner_lr": 0.02, "second_order": False}, True, learning_rate=0.05),
    _row("maml", "classes", {"inner_lr": 0.1, "clip": 10.0}, True, norm="transductive", without_gradient=BATCH_BIASES),
]
