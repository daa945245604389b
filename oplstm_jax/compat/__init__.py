"""Weights and golden cases of the authors' PyTorch implementation.

A file holds `param/<name>` arrays under their PyTorch names and layouts, a JSON string `meta` that describes the
learner and, for a case, one task with the prediction, loss and gradients the original computes (`task/`, `out/`,
`grad/`). `load` gives (learner, params); `python -m oplstm_jax.compat FILE.npz ...` checks cases in float64.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from oplstm_jax import meta as meta_training
from oplstm_jax.compat.learners import below, translate
from oplstm_jax.compat.networks import Arrays, Unsupported
from oplstm_jax.files import read_arrays
from oplstm_jax.losses import cross_entropy, mean_squared_error
from oplstm_jax.parser import Parser
from oplstm_jax.types import Episode, Learner, Loss, Split

PREDICTION_TOLERANCE, GRADIENT_TOLERANCE = 1e-7, 1e-5


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
    learner, tree = translate(meta, below("param/", arrays), _loss(arrays, meta))
    return learner, jax.tree.map(jnp.asarray, tree(below("param/", arrays)))


def load_case(path: str | Path) -> Case:
    """Reads a whole golden case in float64 (which needs JAX's x64 mode to be on). Raises as `load`."""
    arrays, meta = _read(path)
    loss = _loss(arrays, meta)
    learner, tree = translate(meta, below("param/", arrays), loss)
    try:
        support, query = (_split(arrays, part) for part in ("support", "query"))
        gradients = below("grad/", arrays)
        case = Case(
            name=str(meta.get("name", Path(path).stem)),
            learner=learner,
            params=tree(below("param/", arrays)),
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
    arrays = read_arrays(path, "a golden case")
    if "meta" not in arrays:
        raise ValueError(f"{path}: no array 'meta'")
    try:
        meta = json.loads(str(arrays.pop("meta")))
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as a golden case: {error}") from None
    if not isinstance(meta, dict):
        raise ValueError(f"{path}: cannot be read as a golden case: meta is not a JSON object")
    return arrays, meta


def _loss(arrays: Arrays, meta: dict) -> Loss:
    targets = arrays.get("task/support_y")
    if targets is None:
        return mean_squared_error if "sine" in (meta.get("problem"), str(meta.get("base"))[:4]) else cross_entropy
    return mean_squared_error if np.issubdtype(targets.dtype, np.floating) else cross_entropy


def _split(arrays: Arrays, part: str) -> Split:
    x: Any = arrays[f"task/{part}_x"]
    y: Any = arrays[f"task/{part}_y"]
    if np.issubdtype(y.dtype, np.integer):
        classes = int(max(arrays["task/support_y"].max(), arrays["task/query_y"].max())) + 1
        x, y = np.moveaxis(x, 1, -1), np.eye(classes)[y]
    return Split(x, y)


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
    parser = Parser(prog="python -m oplstm_jax.compat", description=main.__doc__)
    cases = "golden cases: arrays task/, param/, out/, grad/ and meta"
    parser.add_argument("files", nargs="+", metavar="FILE.npz", help=cases)
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
