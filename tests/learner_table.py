"""Every learner with a small problem of each kind it handles: a new learner is one row here."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.data import sine
from oplstm_jax.learners import make
from oplstm_jax.losses import cross_entropy, mean_squared_error
from oplstm_jax.nets.conv4 import Conv4
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.resnet12 import ResNet12
from oplstm_jax.nets.transformer import VisionTransformer
from oplstm_jax.types import Array, Episode, Learner, Loss, Split


class Row(NamedTuple):
    """make(passes) gives the learner.

    without_gradient: paths of meta-parameters that get none, by design. has_passes: whether the learner has passes (its
    `info` then tells of each), has_params: whether it meta-learns anything. slow: a variant of another row, left to
    `make test-slow`.
    """

    name: str
    make: Callable[[int], Learner]
    sample: Callable[[Array], Episode]
    loss: Loss
    invariant: bool
    learning_rate: float
    without_gradient: tuple[str, ...] = ()
    has_passes: bool = True
    has_params: bool = True
    slow: bool = False


def blobs(key: Array, way: int = 3, shot: int = 2, query: int = 4, width: int = 6) -> Episode:
    """A classification task: classes are random directions with a little noise, in image-like shape [M, 2, width/2]."""
    keys = jax.random.split(key, 3)
    centres = jax.random.normal(keys[0], (way, 1, width))

    def split(key, count):
        x = centres + 0.3 * jax.random.normal(key, (way, count, width))
        return Split(x.reshape(way * count, 2, width // 2), jnp.repeat(jnp.eye(way), count, axis=0))

    return Episode(split(keys[1], shot), split(keys[2], query))


def pictures(key: Array, way: int = 3, shot: int = 2, query: int = 2, size: int = 8) -> Episode:
    """A classification task: classes are random pictures [size, size, 1] of 4x4 pixel patches, with a little noise."""
    keys = jax.random.split(key, 3)
    patches = jax.random.uniform(keys[0], (way, 1, size // 4, size // 4, 1))
    centres = jnp.repeat(jnp.repeat(patches, 4, axis=2), 4, axis=3)

    def split(key, count):
        x = centres + 0.1 * jax.random.uniform(key, (way, count, size, size, 1))
        return Split(x.reshape(way * count, size, size, 1), jnp.repeat(jnp.eye(way), count, axis=0))

    return Episode(split(keys[1], shot), split(keys[2], query))


def same_blobs(key: Array) -> Episode:
    """Examples of the same four classes in every episode, as fine-tuning is meta-trained on; noise differs."""
    other, key = blobs(jax.random.key(11), way=4), jax.random.fold_in(key, 0)
    centres = jnp.mean(other.query.x.reshape(4, -1, *other.query.x.shape[1:]), 1)
    noise = jax.random.normal(key, (24, *centres.shape[1:]))

    def split(count, noise):
        return Split(jnp.repeat(centres, count, axis=0) + 0.3 * noise, jnp.repeat(jnp.eye(4), count, axis=0))

    return Episode(split(2, noise[:8]), split(4, noise[8:]))


def waves(key: Array) -> Episode:
    return sine.sample_episode(key, shot=5, query=10)


def large_pictures(key: Array) -> Episode:
    return pictures(key, size=16)


SAMPLERS = {"sine": waves, "classes": blobs, "same_classes": same_blobs, "images": pictures, "tokens": pictures}
SAMPLERS["residual"] = large_pictures


def _row(name, kind, options, invariant, learning_rate=0.02, norm="none", base=True, **facts):
    loss = mean_squared_error if kind == "sine" else cross_entropy
    net = _base(kind, norm) if base else None
    return Row(
        name=f"{name}-{kind}-{norm}" + "".join(f"-{key}" for key in options if key not in ("sizes", "inner_lr")),
        make=lambda passes: make(name, net, loss, passes, options),
        sample=SAMPLERS[kind],
        loss=loss,
        invariant=invariant,
        learning_rate=learning_rate,
        **facts,
    )


def _base(kind, norm):
    if kind == "images":
        return Conv4(filters=4, outputs=3, norm=norm, blocks=2)
    if kind == "residual":
        return ResNet12(filters=2, outputs=3, norm=norm)
    if kind == "tokens":
        return VisionTransformer(width=8, blocks=1, heads=2, patch=4, outputs=3)
    return MLP((8, 7), {"sine": 1, "same_classes": 4}.get(kind, 3), norm)


# A bias right before a batch normalisation is subtracted again and has no gradient (OP-LSTM's rules read it before).
BATCH_BIASES = tuple(f"{prefix}dense_{layer}/bias" for prefix in ("features/", "") for layer in (0, 1))
CONV_BIASES = tuple(f"{prefix}conv_{block}/bias" for prefix in ("features/", "") for block in range(2))
CHAIN_BIASES = tuple(f"layers/{block}/conv/bias" for block in range(2))
RESIDUAL_BIASES = tuple(f"{{}}{block}/conv_{layer}/bias" for block in range(4) for layer in range(3))
BLOCK_BIASES, FEATURE_BIASES, OWN_BIASES = (
    tuple(name.format(place) for name in RESIDUAL_BIASES) for place in ("layers/", "features/block_", "block_")
)
SHIFT = ("features/norm/bias",)  # of all features alike, which no distance sees
SMALL = {"sizes": (4, 1)}
ROWS = [
    _row("lstm", "sine", {"sizes": (8, 8)}, False, base=False),
    _row("lstm", "sine", {"sizes": (8, 8), "inputs": "prev_target"}, False, base=False, slow=True),
    _row("lstm", "sine", {"sizes": (8, 8), "inputs": "prev_target_pred"}, False, base=False, slow=True),
    _row("lstm", "sine", {"sizes": (8, 8), "inputs": "prev_target_pred_error"}, False, base=False, slow=True),
    _row("lstm", "classes", {"sizes": (8,)}, False, base=False),
    _row("lstm", "classes", {"sizes": (8,)}, False, norm="transductive", without_gradient=BATCH_BIASES),
    _row("pi_lstm", "sine", {"sizes": (8, 8), "first_pass_targets": False}, True, base=False),
    _row("pi_lstm", "sine", {"sizes": (8, 8), "pool": "hidden_and_cell"}, True, base=False, slow=True),
    _row("pi_lstm", "sine", {"sizes": (8, 8), "pool": "last_pass"}, True, base=False, slow=True),
    _row("pi_lstm", "classes", {"sizes": (8,)}, True, base=False),
    _row("pi_lstm", "classes", {"sizes": (8,)}, True, norm="layer", slow=True),
    _row("op_lstm", "sine", SMALL, True),
    _row("op_lstm", "classes", {**SMALL, "gamma": None}, True, slow=True),
    _row("op_lstm", "sine", {**SMALL, "backprop_through_predictions": False, "adapt_biases": True}, True),
    _row("op_lstm", "sine", {**SMALL, "layer_gammas": True}, True, slow=True),
    _row("op_lstm", "classes", SMALL, True, norm="transductive"),
    _row("op_lstm", "classes", {**SMALL, "gamma": None, "adapt_biases": True}, True, norm="support"),
    _row("op_lstm", "classes", SMALL, True, norm="layer", slow=True),
    _row("op_lstm_head", "sine", SMALL, True),
    _row(
        "op_lstm_head",
        "classes",
        {**SMALL, "gamma": None},
        True,
        norm="transductive",
        without_gradient=BATCH_BIASES,
        slow=True,
    ),
    _row("op_lstm_head", "classes", {**SMALL, "adapt_bias": True, "step_size": True}, True, slow=True),
    _row("op_lstm_head", "classes", {"sizes": (6, 3), "full": True}, True, norm="layer"),
    _row("op_lstm_head", "classes", {**SMALL, "signals": "target", "gamma": None}, True, slow=True),
    _row("op_lstm_general", "sine", SMALL, True),
    _row("op_lstm_general", "classes", {**SMALL, "gamma": None, "frozen": 1}, True, norm="layer", slow=True),
    _row("op_lstm_general", "images", SMALL, True, norm="transductive", without_gradient=CHAIN_BIASES),
    _row("op_lstm_general", "tokens", SMALL, True, norm="layer", slow=True),
    _row("op_lstm_general", "residual", SMALL, True, norm="transductive", without_gradient=BLOCK_BIASES, slow=True),
    _row("op_lstm_sequential", "sine", SMALL, False),
    _row("op_lstm_sequential", "classes", {**SMALL, "gamma": None}, False, norm="layer", slow=True),
    _row("maml", "sine", {"inner_lr": 0.02}, True),
    _row("maml", "sine", {"inner_lr": 0.02, "second_order": False}, True, slow=True),
    _row("maml", "classes", {"inner_lr": 0.1, "clip": 10.0}, True, norm="transductive", without_gradient=BATCH_BIASES),
    _row(
        "maml",
        "classes",
        {"inner_lr": 0.1, "low_rank": True},
        True,
        norm="support",
        without_gradient=BATCH_BIASES,
        slow=True,
    ),
    _row("lstm", "images", {"sizes": (8,)}, False, norm="transductive", without_gradient=CONV_BIASES),
    _row("pi_lstm", "images", {"sizes": (8,)}, True, norm="support", without_gradient=CONV_BIASES, slow=True),
    _row("op_lstm_head", "images", SMALL, True, norm="transductive", without_gradient=CONV_BIASES),
    _row("maml", "images", {"inner_lr": 0.1}, True, norm="transductive", without_gradient=CONV_BIASES),
    _row("op_lstm_head", "tokens", SMALL, True, norm="layer", slow=True),
    _row("op_lstm_head", "residual", SMALL, True, norm="transductive", without_gradient=FEATURE_BIASES, slow=True),
    _row("maml", "tokens", {"inner_lr": 0.1}, True, norm="layer", slow=True),
    _row("maml", "residual", {"inner_lr": 0.1}, True, norm="transductive", without_gradient=OWN_BIASES, slow=True),
    _row("sap", "images", {"inner_lr": 0.1}, True, norm="transductive", without_gradient=CONV_BIASES),
    _row("warp_maml", "images", {"inner_lr": 0.1}, True, norm="transductive", without_gradient=CONV_BIASES),
    _row("protonet", "classes", {}, True, has_passes=False),
    _row("protonet", "images", {}, True, norm="layer", has_passes=False),
    _row("protonet", "tokens", {}, True, norm="layer", without_gradient=SHIFT, has_passes=False, slow=True),
    _row("protonet", "residual", {}, True, norm="layer", has_passes=False, slow=True),
    _row("finetune", "same_classes", {"classes": 4}, True),
    _row("scratch", "classes", {"learning_rate": 0.1, "optimiser": "sgd"}, True, has_params=False),
    _row("random", "classes", {}, True, base=False, has_passes=False, has_params=False),
]
