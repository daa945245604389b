"""Learners by name: every learner of the paper is a factory that returns a `Learner` of pure functions."""

import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn

from oplstm_jax.hints import hint
from oplstm_jax.learners.arguments import check_loss
from oplstm_jax.learners.finetune import finetune
from oplstm_jax.learners.guess import random_guess
from oplstm_jax.learners.lstm import lstm, pi_lstm
from oplstm_jax.learners.maml import maml
from oplstm_jax.learners.misfits import or_value_error
from oplstm_jax.learners.op_lstm import op_lstm
from oplstm_jax.learners.op_lstm_general import op_lstm_general
from oplstm_jax.learners.op_lstm_head import op_lstm_head
from oplstm_jax.learners.op_lstm_sequential import op_lstm_sequential
from oplstm_jax.learners.protonet import protonet
from oplstm_jax.learners.rules import coordinate_lstm, full_lstm
from oplstm_jax.learners.sap import sap
from oplstm_jax.learners.scratch import scratch
from oplstm_jax.learners.warp_maml import warp_maml
from oplstm_jax.losses import mean_squared_error
from oplstm_jax.nets.chain import chain
from oplstm_jax.nets.conv4 import Conv4
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.sap_conv4 import TRANSFORMS, SapConv4
from oplstm_jax.nets.warp_conv4 import WARP_STARTS, WarpConv4
from oplstm_jax.types import Learner, Loss

# The list of names for all time.
NAMES = (
    "lstm",
    "pi_lstm",
    "op_lstm",
    "op_lstm_head",
    "op_lstm_general",
    "op_lstm_sequential",
    "maml",
    "protonet",
    "sap",
    "warp_maml",
    "finetune",
    "scratch",
    "random",
)


def _make_lstm(base, loss, passes, sizes, inputs="target"):
    return lstm(base and _features(base, "lstm"), tuple(sizes), passes, inputs)


def _make_pi_lstm(base, loss, passes, sizes, pool="hidden", first_pass_targets=True):
    features = base and _features(base, "pi_lstm")
    return pi_lstm(features, tuple(sizes), passes, pool, first_pass_targets)


def _make_op_lstm(base, loss, passes, sizes=(5, 5, 1), **options):
    return op_lstm(_mlp(base, "op_lstm"), passes, *_two_rules(sizes), **options)


def _make_op_lstm_sequential(base, loss, passes, sizes=(5, 5, 1), **options):
    return op_lstm_sequential(_mlp(base, "op_lstm_sequential"), passes, *_two_rules(sizes), **options)


def _make_op_lstm_head(base, loss, passes, sizes=(5, 5, 1), full=False, **options):
    rule = full_lstm(tuple(sizes)) if full else coordinate_lstm(tuple(sizes))
    return op_lstm_head(_features(base, "op_lstm_head"), passes, rule, **options)


def _make_op_lstm_general(base, loss, passes, sizes=(5, 5, 1), **options):
    return op_lstm_general(chain(_needed(base, "op_lstm_general")), passes, *_two_rules(sizes), **options)


def _make_maml(base, loss, passes, inner_lr, second_order=True, clip=None, recompute=False, low_rank=None):
    return maml(_needed(base, "maml"), loss, passes, inner_lr, second_order, clip, recompute, low_rank)


def _make_sap(base, loss, passes, inner_lr, clip=10.0, transforms=TRANSFORMS, recompute=False):
    base = _conv4(base, "sap")
    net = SapConv4(base.filters, base.outputs, base.norm, base.blocks, tuple(transforms))
    return sap(net, loss, passes, inner_lr, clip, recompute)


def _make_warp_maml(base, loss, passes, inner_lr, clip=None, warp_start="identity", recompute=False):
    base = _conv4(base, "warp_maml")
    if warp_start not in WARP_STARTS:
        raise ValueError(f"unknown warp_start {warp_start!r}: expected one of {', '.join(WARP_STARTS)}")
    net = WarpConv4(base.filters, base.outputs, base.norm, base.blocks, warp_start)
    return warp_maml(net, loss, passes, inner_lr, clip, recompute)


def _make_protonet(base, loss, passes, loss_scale=True):
    _check_classifies("protonet", loss)
    return protonet(_features(base, "protonet"), loss_scale)


def _make_finetune(base, loss, passes, classes, learning_rate=1e-2, optimiser="adam"):
    _check_classifies("finetune", loss)
    return finetune(_features(base, "finetune"), classes, passes, learning_rate, optimiser)


def _make_scratch(base, loss, passes, learning_rate=1e-3, optimiser="adam"):
    return scratch(_needed(base, "scratch"), loss, passes, learning_rate, optimiser)


def _make_random(base, loss, passes):
    return random_guess()


def _check_classifies(name, loss):
    if loss is mean_squared_error:
        raise ValueError(f"learner {name} classifies: there are no classes in a regression problem")


def _features(base, name):
    """The base-learner without its output layer; of a network that has no such field, the whole."""
    base = _needed(base, name)
    return base.clone(outputs=None) if "outputs" in getattr(type(base), "__dataclass_fields__", {}) else base


def _two_rules(sizes):
    """Rules of the output layer and of the hidden layers."""
    return coordinate_lstm(tuple(sizes)), coordinate_lstm(tuple(sizes))


def _mlp(base, name):
    if not isinstance(_needed(base, name), MLP):
        raise ValueError(f"{name} learns fully connected networks: use op_lstm_head on the features of other networks")
    return base


def _conv4(base, name):
    if not isinstance(_needed(base, name), Conv4):
        raise ValueError(f"learner {name} is defined on Conv-4: expected base 'conv4'")
    if base.precision != "float32":
        raise ValueError(f"learner {name} only has float32: precision is {base.precision}")
    return base


def _needed(base, name):
    if base is None:
        raise ValueError(f"learner {name} needs a base-learner: base is 'none', expected a network such as 'mlp'")
    return base


FACTORIES: dict[str, Callable[..., Learner]] = {
    "lstm": _make_lstm,
    "pi_lstm": _make_pi_lstm,
    "op_lstm": _make_op_lstm,
    "op_lstm_head": _make_op_lstm_head,
    "op_lstm_general": _make_op_lstm_general,
    "op_lstm_sequential": _make_op_lstm_sequential,
    "maml": _make_maml,
    "protonet": _make_protonet,
    "sap": _make_sap,
    "warp_maml": _make_warp_maml,
    "finetune": _make_finetune,
    "scratch": _make_scratch,
    "random": _make_random,
}

# Where the options of a learner are handed on to, as they are.
FORWARDS = {
    "op_lstm": op_lstm,
    "op_lstm_head": op_lstm_head,
    "op_lstm_general": op_lstm_general,
    "op_lstm_sequential": op_lstm_sequential,
}
NO_OPTIONS = ("base", "features", "layers", "loss", "passes", "rule", "output_rule", "hidden_rule", "options")


def option_names(name: str) -> tuple[str, ...]:
    """The names of the options of a learner."""
    found = list(inspect.signature(FACTORIES[name]).parameters)
    if name in FORWARDS:
        found += inspect.signature(FORWARDS[name]).parameters
    return tuple(option for option in dict.fromkeys(found) if option not in NO_OPTIONS)


def make(name: str, base: nn.Module | None, loss: Loss, passes: int, options: dict[str, Any]) -> Learner:
    """The learner called `name` on a base-learner with the given options (the factory's keyword arguments).

    Raises ValueError for an unknown name or option, with the nearest known one, and for a loss that is no function.
    """
    check_loss(loss)
    if not isinstance(name, str) or name not in FACTORIES:
        raise ValueError(f"unknown learner {name!r}: expected one of {', '.join(FACTORIES)}{hint(name, FACTORIES)}")
    factory, known = FACTORIES[name], option_names(name)
    for option in options:
        if option not in known:
            expected = f"expected some of {', '.join(known)}" if known else "it has none"
            raise ValueError(f"unknown option {option!r} of {name}: {expected}{hint(option, known)}")
    try:
        inspect.signature(factory).bind(base, loss, passes, **options)
    except TypeError as error:
        raise ValueError(f"options of {name}: {error}") from None
    return or_value_error(factory, f"options of {name}")(base, loss, passes, **options)
