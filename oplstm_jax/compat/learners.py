"""Learners of the authors' PyTorch implementation: what `meta` and the arrays say becomes a learner of ours.

Widths follow from the arrays' shapes, everything else from `meta`.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from oplstm_jax.compat.networks import (
    Arrays,
    Network,
    Tree,
    Unsupported,
    channels_last,
    linear,
    network,
    sap_transforms,
    sizes,
    stack,
    torch_kernel,
)
from oplstm_jax.learners.lstm import lstm, pi_lstm
from oplstm_jax.learners.maml import maml
from oplstm_jax.learners.op_lstm import op_lstm
from oplstm_jax.learners.op_lstm_head import op_lstm_head
from oplstm_jax.learners.protonet import protonet
from oplstm_jax.learners.rules import coordinate_lstm, full_lstm
from oplstm_jax.learners.sap import sap
from oplstm_jax.learners.warp_maml import warp_maml
from oplstm_jax.nets.conv4 import Conv4
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.sap_conv4 import SapConv4
from oplstm_jax.nets.warp_conv4 import WarpConv4
from oplstm_jax.types import Learner, Loss

INPUTS = {
    "currenttarget": "target",
    "prevtarget": "prev_target",
    "prevtargetpred": "prev_target_pred",
    "prevtargetprederror": "prev_target_pred_error",
}
SIGNALS = {"target": "target", "targetprediction": "target_prediction", "targetpred": "target_prediction"}


class Translation(NamedTuple):
    """A learner of ours and how the original's arrays become its parameters."""

    learner: Learner
    tree: Tree


def translate(meta: dict[str, Any], arrays: Arrays, loss: Loss) -> Translation:
    """The learner that `meta` and the shapes of `param/` arrays describe.

    Raises `Unsupported` for a kind of learner or network we do not build, ValueError for a missing entry or array.
    """
    kind = str(meta.get("learner"))
    if kind not in TRANSLATORS:
        raise Unsupported(f"learner {kind!r}: expected one of {', '.join(TRANSLATORS)}")
    try:
        return TRANSLATORS[kind](meta, arrays, loss)
    except KeyError as error:
        raise ValueError(f"learner {kind!r} needs {error} in meta or among the parameters") from None


def below(prefix: str, arrays: Arrays) -> Arrays:
    """The arrays whose names start with `prefix`, without it."""
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


# --- learners -----------------------------------------------------------------------------------------------------


def _translate_lstm(meta: dict, arrays: Arrays, loss: Loss) -> Translation:
    word = _word(meta.get("inputs"), "current target")
    if word not in INPUTS:
        raise Unsupported(f"inputs {meta['inputs']!r}")
    base = None if meta["base"] == "none" else network(meta["base"], arrays, head=False)
    features, prefix = (None, "") if base is None else (base.net, "lstm.")
    widths = sizes(below(prefix, arrays))
    if meta["learner"] == "lstm_sequential":
        learner = lstm(features, widths, meta["T"], INPUTS[word])
    else:
        pool = "hidden_and_cell" if meta.get("average_cells") else "hidden"
        learner = pi_lstm(features, widths, meta["T"], pool, meta["problem"] != "sine")

    def tree(a: Arrays) -> dict:
        cells = below(prefix, a)
        params: dict[str, Any] = {"lstm": stack(cells), "readout": linear(cells, "output")}
        if base is None:
            return params
        units, first = params["readout"]["bias"].size, params["lstm"][0]
        extra = {"prev_target_pred": 2 * units, "prev_target_pred_error": 2 * units + 1}.get(INPUTS[word], units)
        w_ih = channels_last(first.w_ih, base.maps, first.w_ih.shape[1] - extra)
        params["lstm"] = (first._replace(w_ih=w_ih), *params["lstm"][1:])
        return {**params, "features": base.tree(a)}

    return Translation(learner, tree)


def _translate_op_lstm(meta: dict, arrays: Arrays, loss: Loss) -> Translation:
    base = network(meta["base"], arrays)
    if not isinstance(base.net, MLP):
        raise Unsupported(f"op_lstm on base {meta['base']!r}")
    output, hidden = (coordinate_lstm(sizes(below(f"{name}_lstm.", arrays))) for name in ("output", "body"))
    predictions, biases = meta["backprop_through_predictions"], bool(meta.get("update_bias"))
    learner = op_lstm(base.net, meta["T"], output, hidden, meta["gamma"], predictions, biases)

    def tree(a: Arrays) -> dict:
        params = {
            "base": base.tree(a),
            "output_rule": stack(below("output_lstm.", a)),
            "hidden_rule": stack(below("body_lstm.", a)),
        }
        return params if meta["gamma"] is None else {**params, "gamma": a["gamma"]}

    return Translation(learner, tree)


def _translate_op_lstm_head(meta: dict, arrays: Arrays, loss: Loss) -> Translation:
    base, widths = network(meta["base"], arrays, head=False), sizes(below("lstm.", arrays))
    signals = _word(meta.get("lstm_inputs"), "target prediction")
    if signals not in SIGNALS:
        raise Unsupported(f"lstm_inputs {meta['lstm_inputs']!r}")
    learner = op_lstm_head(
        base.net,
        meta["T"],
        rule=coordinate_lstm(widths) if meta.get("elwise", True) else full_lstm(widths),
        gamma=meta["gamma"],
        backprop_through_predictions=meta["backprop_through_predictions"],
        adapt_bias=bool(meta.get("update_bias")),
        step_size=bool(meta.get("param_lr")),
        signals=SIGNALS[signals],
        scalar_bias=arrays["lstm.b"].size == 1,
    )

    def tree(a: Arrays) -> dict:
        params = {
            "features": base.tree(a),
            "kernel": channels_last(a["lstm.init_weight.weight"], base.maps).T,
            "bias": a["lstm.b"],
            "rule": stack(below("lstm.", a)),
        }
        if meta["gamma"] is not None:
            params["gamma"] = a["gamma"]
        return {**params, "step_size": a["lstm.lr"]} if meta.get("param_lr") else params

    return Translation(learner, tree)


def _translate_maml(meta: dict, arrays: Arrays, loss: Loss) -> Translation:
    base = network(meta["base"], arrays)
    learner = maml(base.net, loss, meta["T"], meta["inner_lr"], meta["second_order"], meta.get("grad_clip"))
    return Translation(learner, base.tree)


def _translate_warp_maml(meta: dict, arrays: Arrays, loss: Loss) -> Translation:
    base = _conv4(meta, arrays)
    net = WarpConv4(base.net.filters, base.net.outputs, base.net.norm, base.net.blocks)
    learner = warp_maml(net, loss, meta["T"], meta["inner_lr"], meta.get("grad_clip"))

    def tree(a: Arrays) -> dict:
        kernels = {f"warp_{i}": torch_kernel(a[f"transform.{2 * i - 2}"]) for i in range(1, net.blocks)}
        biases = [a[f"transform.{2 * i + 1}"] for i in range(len(kernels))]
        pairs = zip(kernels.items(), biases, strict=True)
        return {**base.tree(a), **{name: {"kernel": kernel, "bias": bias} for (name, kernel), bias in pairs}}

    return Translation(learner, tree)


def _translate_sap(meta: dict, arrays: Arrays, loss: Loss) -> Translation:
    base = _conv4(meta, arrays)
    net = SapConv4(base.net.filters, base.net.outputs, base.net.norm, base.net.blocks)
    learner = sap(net, loss, meta["T"], meta["inner_lr"], meta.get("grad_clip"))

    def tree(a: Arrays) -> dict:
        transforms = (a[f"transform.{i}"] for i in itertools.count())
        strengths = (a[f"alfa.{i}"] for i in itertools.count())
        return {**base.tree(a), **sap_transforms(transforms, strengths, net.blocks)}

    return Translation(learner, tree)


def _translate_protonet(meta: dict, arrays: Arrays, loss: Loss) -> Translation:
    base = network(meta["base"], arrays, head=False)
    return Translation(protonet(base.net), lambda a: {"features": base.tree(a)})


TRANSLATORS: dict[str, Callable[[dict, Arrays, Loss], Translation]] = {
    "lstm_sequential": _translate_lstm,
    "lstm_mean_pooled": _translate_lstm,
    "op_lstm": _translate_op_lstm,
    "op_lstm_head": _translate_op_lstm_head,
    "maml": _translate_maml,
    "protonet": _translate_protonet,
    "sap": _translate_sap,
    "warp_maml": _translate_warp_maml,
}


def _conv4(meta: dict, arrays: Arrays) -> Network:
    """The base-learner, with its last layer. Raises `Unsupported` if it is no Conv-4."""
    base = network(meta["base"], arrays)
    if not isinstance(base.net, Conv4):
        raise Unsupported(f"{meta['learner']} on base {meta['base']!r}")
    return base


def _word(value: Any, default: str) -> str:
    """How the original's options are spelt does not matter: letters only."""
    return "".join(c for c in str(value or default).lower() if c.isalpha())
