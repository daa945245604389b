"""When numbers stop being finite: a run says where and in which parameters, or skips and counts such steps."""

import traceback
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from oplstm_jax.meta import Log, MetaState
from oplstm_jax.params import named_arrays
from oplstm_jax.types import Array, Params, Sampler

NAMED = 4  # parameters that a message names
IN_A_ROW = 50  # meta-steps that may be skipped one after another before a run ends


class NotFinite(FloatingPointError):
    """A loss, or meta-parameters after an update, are not finite between the steps `done` and `step`."""

    def __init__(self, loss: float, done: int, step: int):
        super().__init__(f"loss is {loss:.4g} between steps {done} and {step}")
        self.step = step


def skip_nonfinite(optimiser: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimiser, but a meta-gradient with any entry that is not finite changes nothing and is counted."""
    return optax.apply_if_finite(optimiser, max_consecutive_errors=np.iinfo(np.int32).max)


def skipping_step(step: Callable) -> Callable[[MetaState, Array, Sampler], tuple[MetaState, Log]]:
    """A meta-step whose optimiser is `skip_nonfinite`: what a skipped one would log counts as zero."""

    def counted(state: MetaState, run_key: Array, sample: Sampler) -> tuple[MetaState, Log]:
        before = skipped(state)
        state, log = step(state, run_key, sample)
        return state, jax.tree.map(lambda a: jnp.where(skipped(state) == before, a, 0.0), log)

    return counted


def skipped(state: MetaState) -> Array:
    """Meta-steps skipped so far by `skip_nonfinite`."""
    return state.opt_state.total_notfinite


@jax.jit
def all_finite(params: Params) -> Array:
    """Whether every entry of every array is finite."""
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(a)) for a in jax.tree.leaves(params)], bool))


def check_chunk(state: MetaState, line: dict, done: int, before: int | None) -> dict:
    """The line of metrics of a chunk that began after `done` steps, its means taken over the steps not skipped.

    It has no means if every step was skipped. before: steps that `skip_nonfinite` had skipped until then, None without
    it. Raises NotFinite for a loss or parameters that are not finite, FloatingPointError where the last `IN_A_ROW`
    steps and more were skipped.
    """
    if before is not None:
        steps, left_out = line["step"] - done, int(skipped(state)) - before
        line["skipped"] = left_out
        means = {name: line.pop(name) for name in ("loss", "score")}
        if left_out < steps:
            line |= {name: mean * (steps / (steps - left_out)) for name, mean in means.items()}
        if (row := int(state.opt_state.notfinite_count)) >= IN_A_ROW:
            raise FloatingPointError(f"none of the last {row} meta-gradients, up to step {line['step']}, is finite")
    if not np.isfinite(line.get("loss", 0)) or not all_finite(state.params):
        raise NotFinite(line.get("loss", np.nan), done, line["step"])
    return line


def check_scores(scores: np.ndarray, what: str) -> None:
    """Raises FloatingPointError unless the scores [n] of tasks are all finite."""
    if bad := np.count_nonzero(~np.isfinite(scores)):
        raise FloatingPointError(f"{bad} of {np.size(scores)} {what} scores are not finite")


def locate(advance: Callable, state: MetaState, error: NotFinite) -> str:
    """Repeats the steps after a finite state one by one until something is not finite; says in one line what and where.

    advance: (state, number of steps) -> (state, Log), of one run or several; it may use up `state`. Where JAX
    looks for NaNs (jax_debug_nans) the line of code is named too, by running the step without compiling it.
    """
    start = int(np.min(state.step))
    for step in range(start + 1, error.step + 1):
        before = jax.tree.map(jnp.copy, state) if jax.config.values["jax_debug_nans"] else None
        with jax.debug_nans(False):
            state, log = advance(state, 1)
        bad = [name for name, array in named_arrays(state.params).items() if not np.isfinite(array).all()]
        if bad or not np.isfinite(log.loss).all():
            more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
            names = f"not finite after it: {', '.join(bad[:NAMED])}{more}" if bad else "all parameters are finite"
            origin = _origin(advance, before) if before is not None else ""
            losses = ", ".join(f"{loss:.4g}" for loss in np.ravel(log.loss))
            found = f"at step {step} it is {losses}, {names}; the last checkpoint is of step {start}"
            return f"{error}: {found}{origin}"
    return f"{error}: repeated one by one the steps after {start} are finite, is the hardware faulty?"


def _origin(advance: Callable, state: MetaState) -> str:
    """Where in the code the first NaN of the next step arises, nothing if the step has none (or an infinity only)."""
    try:
        with jax.disable_jit(), jax.debug_nans(True), jax.debug_key_reuse(False):
            advance(state, 1)
    except FloatingPointError as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
        return f"; {str(error).splitlines()[0]}, {Path(frames[-1].filename).name} line {frames[-1].lineno}"
    return ""
