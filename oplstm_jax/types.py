"""The contract of the library: what a task is and what a learner is.

Dimension letters, used as suffixes and in docstrings everywhere:

    B  tasks in a meta-batch            N  ways (classes of a task)
    M  support examples of a task       k  shots, so M = N k for classification
    Q  query examples of a task         C  outputs: N for classification, 1 for sine
    T  passes over the support set      L  layers of the base-learner
    D  units (coordinates) of a layer   H  hidden units of an LSTM      F  features

All mathematics is written for one task. Learners know no batches: tasks are put together outside of them, by `jax.vmap`
in `oplstm_jax.meta` for meta-training and by `jax.lax.map` where tasks are scored or looked at.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax

Array = jax.Array
Params = Any  # meta-parameters: any pytree of arrays, shared by all tasks
Fast = Any  # whatever prediction needs after learning a task: fast weights, hidden states, prototypes
Info = Any  # what happened in each pass: a pytree whose arrays have T as first dimension
Loss = Callable[[Array, Array], Array]  # (outputs [Q, C], targets [Q, C]) -> scalar
# key -> Episode, as a `jax.tree_util.Partial`: what it draws from (images) is then an argument of jitted functions.
Sampler = Callable[[Array], "Episode"]


class Split(NamedTuple):
    """Examples of one task.

    x: inputs [M, ...]: [M, 1] for sine, [M, H, W, channels] float in [0, 1] for images.
    y: targets [M, C]: real values for regression, one-hot rows for classification.
    """

    x: Array
    y: Array


class Episode(NamedTuple):
    """One task: learn from `support`, be judged on `query` (disjoint examples of the same function or classes)."""

    support: Split
    query: Split


class Init(Protocol):
    """Draws meta-parameters. The episode serves only for shapes and dtypes; its values are not read.

    Learners that meta-learn nothing return {}, an empty tree.
    """

    def __call__(self, key: Array, episode: Episode) -> Params: ...


class Adapt(Protocol):
    """Learns one task from its support set and returns (fast, info).

    `key` is only read by learners that draw random numbers while learning (`random`, `scratch`), which need it.
    """

    def __call__(self, params: Params, support: Split, *, key: Array | None = None) -> tuple[Fast, Info]: ...


class Predict(Protocol):
    """Predicts query inputs x [Q, ...] with what `adapt` returned: outputs [Q, C] (logits for classification)."""

    def __call__(self, params: Params, fast: Fast, x: Array) -> Array: ...


class Objective(Protocol):
    """Meta-training loss of one task, for learners for which it is not the query loss after `adapt`.

    Returns (loss, outputs [Q, C]); the outputs are only scored. Gradients are taken with respect to `params`.
    """

    def __call__(self, params: Params, episode: Episode, *, key: Array | None = None) -> tuple[Array, Array]: ...


def as_sampler(sample: Callable[[Array], Episode]) -> Sampler:
    """Any function key -> Episode as a `Sampler`. Raises ValueError for what is no function."""
    if not callable(sample):
        raise ValueError(f"sample is {type(sample).__name__}: expected a function key -> Episode")
    return sample if isinstance(sample, jax.tree_util.Partial) else jax.tree_util.Partial(sample)


class Learner(NamedTuple):
    """A few-shot learner as pure functions, made by a factory such as `op_lstm(base, passes=9)`.

    Hyper-parameters live in the closure, so another number of passes at evaluation is a second `Learner` from the same
    factory that is given the same meta-parameters.
    """

    init: Init
    adapt: Adapt
    predict: Predict
    objective: Objective | None = None
