"""Weights and golden cases of the authors' PyTorch implementation.

A file holds `param/<name>` arrays under their PyTorch names and layouts, a JSON string `meta` that describes the
learner and, for a case, one task with the prediction, loss and gradients the original computes (`task/`, `out/`,
`grad/`). `load` gives (learner, params); `python -m oplstm_jax.compat FILE.npz ...` checks cases in float64.
"""

import argparse
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from oplstm_jax import meta as meta_training
from oplstm_jax.learners.lstm import lstm, pi_lstm
from oplstm_jax.learners.maml import maml
from oplstm_jax.learners.op_lstm import op_lstm
from oplstm_jax.learners.rules import coordinate_lstm
from oplstm_jax.losses import cross_entropy, mean_squared_error
from oplstm_jax.nets.lstm import CellParams
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.types import Episode, Learner, Loss, Split

PREDICTION_TOLERANCE, GRADIENT_TOLERANCE = 1e-7, 1e-5
Arrays = dict[str, np.ndarray]  # PyTorch name -> array
INPUTS = {
    "currenttarget": "target",
    "prevtarget": "prev_target",
    "prevtargetpred": "prev_target_pred",
    "prevtargetprederror": "prev_target_pred_error",
}


class Unsupported(ValueError):
    """The file describes a learner that this library does not build (yet)."""


class Translation(NamedTuple):
    """A learner of ours and how the original's arrays (weights or gradients alike) become its parameter tree."""

    learner: Learner
    tree: Callable[[Arrays], dict]


class Case(NamedTuple):
    """One golden case: prediction [Q, C] of the original and, where given, its gradients as our parameter tree."""

    name: str
    learner: Learner
    params: dict
    episode: Episode
    loss: Loss
    prediction: np.ndarray
    gradients: dict | None


def load(path: str | Path) -> tuple[Learner, dict]:
    """The learner and parameters of a file with `meta` and `param/` arrays, in the arrays' own precision.

    Raises ValueError if the file cannot be read, and `Unsupported`, a ValueError too, for a learner we do not build.
    """
    arrays, meta = _read(path)
    learner, tree = _translate(meta, _below("param/", arrays), _loss(arrays))
    return learner, jax.tree.map(jnp.asarray, tree(_below("param/", arrays)))


def load_case(path: str | Path) -> Case:
    """Reads a whole golden case in float64 (which needs JAX's x64 mode to be on). Raises as `load`."""
    arrays, meta = _read(path)
    loss = _loss(arrays)
    learner, tree = _translate(meta, _below("param/", arrays), loss)
    try:
        support, query = (_split(arrays, part) for part in ("support", "query"))
        gradients = _below("grad/", arrays)
        case = Case(
            name=str(meta.get("name", Path(path).stem)),
            learner=learner,
            params=tree(_below("param/", arrays)),
            episode=Episode(support, query),
            loss=loss,
            prediction=arrays["out/query_prediction"].reshape(query.y.shape),
            gradients=tree(gradients) if gradients else None,
        )
    except KeyError as error:
        raise ValueError(f"{path}: not a golden case: no array {error}") from None
    return jax.tree.map(lambda a: a.astype(np.float64) if isinstance(a, np.ndarray) else a, case)


def errors(case: Case) -> tuple[float, float | None]:
    """Relative errors of (prediction, gradient) of our learner on a case; None where the case has no gradients."""
    objective = meta_training.task_objective(case.learner, case.loss)

    @jax.jit
    def ours(params, episode):
        prediction = meta_training.task_outputs(case.learner, params, episode)
        return prediction, jax.grad(lambda p: objective(p, episode)[0])(params)

    prediction, gradients = ours(case.params, case.episode)
    off = _relative(prediction, case.prediction)
    return off, None if case.gradients is None else _relative(gradients, case.gradients)


def _relative(ours, theirs) -> float:
    """Largest difference over all arrays, relative to the largest reference entry."""
    worst = max(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.max(np.abs(np.asarray(a) - b))), ours, theirs)))
    scale = max(float(np.max(np.abs(leaf))) for leaf in jax.tree.leaves(theirs))
    return worst / scale if scale else worst


def _read(path: str | Path) -> tuple[Arrays, dict]:
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(str(arrays.pop("meta")))
        if not isinstance(meta, dict):
            raise ValueError("meta is not a JSON object")
    except KeyError:
        raise ValueError(f"{path}: no array 'meta'") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: cannot be read as a golden case: {error}") from None
    return arrays, meta


def _loss(arrays: Arrays) -> Loss:
    targets = arrays.get("task/support_y")
    return mean_squared_error if targets is not None and np.issubdtype(targets.dtype, np.floating) else cross_entropy


def _split(arrays: Arrays, part: str) -> Split:
    x, y = arrays[f"task/{part}_x"], arrays[f"task/{part}_y"]
    if np.issubdtype(y.dtype, np.integer):
        classes = int(max(arrays["task/support_y"].max(), arrays["task/query_y"].max())) + 1
        x, y = np.moveaxis(x, 1, -1), np.eye(classes)[y]
    return Split(x, y)


def _below(prefix: str, arrays: Arrays) -> Arrays:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


# --- the original's names, learner by learner ---------------------------------------------------------------------


def _translate(meta: dict, arrays: Arrays, loss: Loss) -> Translation:
    kind = str(meta.get("learner"))
    if kind not in TRANSLATORS:
        raise Unsupported(f"learner {kind!r}: expected one of {', '.join(TRANSLATORS)}")
    try:
        return TRANSLATORS[kind](meta, arrays, loss)
    except KeyError as error:
        raise ValueError(f"learner {kind!r} needs {error} in meta or among the parameters") from None


def _translate_lstm(meta: dict, arrays: Arrays, loss: Loss) -> Translation:
    if meta["base"] != "none":
        raise Unsupported(f"{meta['learner']} on base {meta['base']!r}")
    sizes = tuple(cell.w_hh.shape[1] for cell in _stack(arrays))
    inputs = str(meta.get("inputs") or "current target").replace("_", "").replace(" ", "")
    if inputs not in INPUTS:
        raise Unsupported(f"inputs {meta['inputs']!r}")
    if meta["learner"] == "lstm_sequential":
        learner = lstm(None, sizes, meta["T"], INPUTS[inputs])
    else:
        learner = pi_lstm(None, sizes, meta["T"], bool(meta.get("average_cells")), meta["problem"] != "sine")
    return Translation(learner, lambda a: {"lstm": _stack(a), "readout": _linear(a, "output")})


def _translate_op_lstm(meta: dict, arrays: Arrays, loss: Loss) -> Translation:
    base, tree = _mlp(meta["base"], _below("base.", arrays))
    rule = {name: coordinate_lstm(_sizes(_below(f"{name}_lstm.", arrays))) for name in ("output", "body")}
    learner = op_lstm(
        base,
        meta["T"],
        output_rule=rule["output"],
        hidden_rule=rule["body"],
        gamma=meta["gamma"],
        backprop_through_predictions=meta["backprop_through_predictions"],
        adapt_biases=bool(meta.get("update_bias")),
    )

    def whole_tree(a: Arrays) -> dict:
        params = {
            "base": tree(_below("base.", a)),
            "output_rule": _stack(_below("output_lstm.", a)),
            "hidden_rule": _stack(_below("body_lstm.", a)),
        }
        return params if meta["gamma"] is None else {**params, "gamma": a["gamma"]}

    return Translation(learner, whole_tree)


def _translate_maml(meta: dict, arrays: Arrays, loss: Loss) -> Translation:
    net, tree = _mlp(meta["base"], arrays)
    learner = maml(net, loss, meta["T"], meta["inner_lr"], meta["second_order"], meta.get("grad_clip"))
    return Translation(learner, tree)


TRANSLATORS: dict[str, Callable[[dict, Arrays, Loss], Translation]] = {
    "lstm_sequential": _translate_lstm,
    "lstm_mean_pooled": _translate_lstm,
    "op_lstm": _translate_op_lstm,
    "maml": _translate_maml,
}


def _mlp(kind: str, arrays: Arrays) -> tuple[MLP, Callable[[Arrays], dict]]:
    """The MLP with the widths found in the arrays, and the translation of arrays to its parameters."""
    pattern, first, norm = {
        "sine_mlp": ("model.{}", 0, "none"),
        "omniglot_mlp": ("lin{}", 1, "transductive"),
        "omniglot_mlp_no_bn": ("lin{}", 1, "none"),
    }.get(kind, (None, 0, ""))
    if pattern is None:
        raise Unsupported(f"base {kind!r}")
    names = []
    while f"{pattern.format(first + len(names))}.weight" in arrays:
        names.append(pattern.format(first + len(names)))
    net = MLP(tuple(arrays[f"{n}.weight"].shape[0] for n in names), arrays["out.weight"].shape[0], norm=norm)

    def tree(a: Arrays) -> dict:
        params = {f"dense_{layer}": _linear(a, name) for layer, name in enumerate(names)}
        params["out"] = _linear(a, "out")
        if norm != "none":
            for layer in range(len(names)):
                bn = f"bn{first + layer}"
                params[f"norm_{layer}"] = {"scale": a[f"{bn}.weight"], "shift": a[f"{bn}.bias"]}
        return params

    return net, tree


def _linear(arrays: Arrays, name: str) -> dict:
    return {"kernel": arrays[f"{name}.weight"].T, "bias": arrays[f"{name}.bias"]}


def _stack(arrays: Arrays) -> tuple[CellParams, ...]:
    """LSTM cells in order, from one multi-layer LSTM (`lstm.*_l0`, `_l1`, ..) or a list of cells (`lstms.0.*_l0`, ..)."""
    cells = []
    while True:
        number = len(cells)
        listed, stacked = f"lstms.{number}.{{}}_l0", f"lstm.{{}}_l{number}"
        name = listed if listed.format("weight_ih") in arrays else stacked
        if name.format("weight_ih") not in arrays:
            return tuple(cells)
        cells.append(CellParams(*(arrays[name.format(w)] for w in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))))


def _sizes(arrays: Arrays) -> tuple[int, ...]:
    return tuple(cell.w_hh.shape[1] for cell in _stack(arrays))


# --- the command --------------------------------------------------------------------------------------------------


def _check(path: str) -> tuple[str, bool]:
    """The line for one file and whether it is ok. Raises ValueError if the file cannot be read."""
    try:
        case = load_case(path)
    except Unsupported:
        return f"{Path(path).stem} - - unsupported", False
    off, gradient_off = errors(case)
    fine = off <= PREDICTION_TOLERANCE and (gradient_off is None or gradient_off <= GRADIENT_TOLERANCE)
    gradient = "-" if gradient_off is None else f"{gradient_off:.3e}"
    return f"{case.name} {off:.3e} {gradient} {'ok' if fine else 'FAIL'}", fine


def main(argv: list[str] | None = None) -> int:
    """Checks golden cases; returns 0 if all are ok, 1 if any is not, 2 if a file cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m oplstm_jax.compat", description=main.__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE.npz", help="golden cases: arrays task/, param/, out/, grad/ and meta")
    status = 0
    with jax.enable_x64(True):
        for path in parser.parse_args(argv).files:
            try:
                line, fine = _check(path)
            except ValueError as error:
                print(f"error: {error}", file=sys.stderr)
                status = 2
                continue
            print(line, flush=True)
            status = status or int(not fine)
    return status


if __name__ == "__main__":
    sys.exit(main())
