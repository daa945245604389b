"""Base-learners by name, from the fields of a configuration."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from oplstm_jax.data.families import family_of
from oplstm_jax.fields import is_mapping, is_width
from oplstm_jax.nets.conv4 import Conv4
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.norm import OF_BATCHES
from oplstm_jax.nets.resnet12 import ResNet12
from oplstm_jax.nets.transformer import VisionTransformer

BASES = ("mlp", "conv4", "resnet12", "vit", "none")
CONVOLUTIONAL = ("conv4", "resnet12")
PRECISIONS = ("float32", "bfloat16")
SHARE_FEATURES = ("op_lstm_head", "protonet", "lstm", "pi_lstm")  # learners whose tasks do not change convolutions


def build_base(config: Mapping[str, Any]) -> nn.Module | None:
    """The base-learner, None for raw inputs. Raises ValueError for an unknown name or impossible widths."""
    if config["base"] not in BASES:
        raise ValueError(f"unknown base {config['base']!r}: expected one of {', '.join(BASES)}")
    if config["precision"] not in PRECISIONS:
        raise ValueError(f"unknown precision {config['precision']!r}: expected one of {', '.join(PRECISIONS)}")
    if config["precision"] != "float32" and config["base"] != "conv4":
        raise ValueError(f"precision is {config['precision']}: base {config['base']} only has float32, conv4 has both")
    if config["base"] == "none":
        if config["norm"] != "none":
            raise ValueError(f"norm is {config['norm']}: base none has nothing to normalise: expected none")
        return None
    if config["base"] in CONVOLUTIONAL and not is_width(config["filters"]):
        raise ValueError(f"filters is {config['filters']!r}: expected a positive whole number")
    if config["base"] == "conv4":
        fused = config["learner"] in SHARE_FEATURES
        return Conv4(config["filters"], outputs(config), config["norm"], precision=config["precision"], fused=fused)
    if config["base"] == "resnet12":
        return ResNet12(config["filters"], outputs(config), config["norm"])
    if config["base"] == "vit":
        return _transformer(config["transformer"], outputs(config), config["norm"])
    hidden = config["hidden"]
    if not isinstance(hidden, (tuple, list)) or not hidden or not all(map(is_width, hidden)):
        raise ValueError(f"hidden is {hidden!r}: expected one or more positive widths")
    hidden = tuple(hidden)
    return MLP(hidden, outputs(config), config["norm"], zero_hidden_biases=config["data"] == "sine")


def outputs(config: Mapping[str, Any]) -> int:
    """How many outputs a base-learner has, C."""
    family = family_of(config["data"])
    return (family and family.outputs) or config["way"]


def _transformer(sizes: Any, outputs: int, norm: str) -> VisionTransformer:
    names = ("width", "blocks", "heads", "patch")
    if not is_mapping(sizes) or set(sizes) != set(names) or not all(map(is_width, sizes.values())):
        raise ValueError(f"transformer is {sizes!r}: expected positive numbers for {', '.join(names)}")
    if norm not in ("layer", *OF_BATCHES):
        batches = " or ".join(OF_BATCHES)
        raise ValueError(f"norm is {norm}: base vit normalises tokens: expected layer, or {batches} of their means too")
    return VisionTransformer(**sizes, outputs=outputs, norm=norm)
