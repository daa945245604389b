"""What is handed to learners and their factories, checked: what cannot be is a ValueError of one line."""

import functools
import inspect
import numbers
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from oplstm_jax.learners.misfits import or_value_error
from oplstm_jax.nets.norm import check_mode
from oplstm_jax.types import Array, Episode, Learner, Loss, Params, Split
from oplstm_jax.varying import alike

SIZES = ("filters", "blocks", "width", "heads", "patch", "outputs")  # of networks: whole numbers above 0


def checks_arguments(factory: Callable[..., Learner]) -> Callable[..., Learner]:
    """A factory whose networks, passes and options are checked, and whose learners check what they are given.

    What the factory or its functions cannot work with raises ValueError, with the error of the library as its cause.
    """

    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def checked_factory(*args, **kwargs) -> Learner:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            check_argument(name, value, signature.parameters[name].annotation)
        return checked_learner(or_value_error(factory, factory.__name__)(*args, **kwargs))

    return checked_factory


def checked_learner(learner: Learner) -> Learner:
    """The learner, refusing episodes, support sets, parameters and queries that cannot be.

    Its parameters are float32, or float64 for an episode of float64 (which there is in JAX's x64 mode only). What it is
    given afterwards is computed with in the precision of the parameters, whatever its own.
    """
    init = or_value_error(learner.init, "init")
    adapt = or_value_error(learner.adapt, "adapt")
    predict = or_value_error(learner.predict, "predict")

    def checked_init(key, episode: Episode):
        episode = _as_episode(episode)
        return as_precise(init(key, episode), jax.tree.leaves(episode))

    def checked_adapt(params, support: Split, *, key=None):
        params, support = _fitting(params, _as_split(support, "support"))
        params, support, key = alike((params, support, key))
        return adapt(params, support, key=key)

    def checked_predict(params, fast, x):
        _check_floats(x, "query x", 1)
        params, x = _fitting(params, x)
        return predict(*alike((params, fast, x)))

    if learner.objective is None:
        return Learner(checked_init, checked_adapt, checked_predict)
    objective = or_value_error(learner.objective, "objective")

    def checked_objective(params, episode: Episode, *, key=None):
        params, episode = _fitting(params, _as_episode(episode))
        params, episode, key = alike((params, episode, key))
        return objective(params, episode, key=key)

    return Learner(checked_init, checked_adapt, checked_predict, checked_objective)


def as_precise(params: Params, given: Iterable[Array]) -> Params:
    """The parameters in the precision of the arrays they are to work with, at least float32."""
    widest = functools.reduce(jnp.promote_types, (a.dtype for a in given), jnp.dtype(jnp.float32))
    return jax.tree.map(lambda a: a.astype(jax.dtypes.canonicalize_dtype(widest)), params)


def _fitting(params: Params, given: Any) -> tuple[Params, Any]:
    """Parameters as plain dictionaries, and the floats of what was given in their precision (where there are none, in
    their own)."""
    if isinstance(params, flax.core.FrozenDict):
        params = flax.core.unfreeze(params)
    kinds = [leaf.dtype for leaf in jax.tree.leaves(params) if hasattr(leaf, "dtype")]
    kinds = [kind for kind in kinds if jnp.issubdtype(kind, jnp.floating)]
    widest = functools.reduce(jnp.promote_types, kinds) if kinds else None
    return params, jax.tree.map(lambda a: jnp.asarray(a, widest or jax.dtypes.canonicalize_dtype(a.dtype)), given)


def check_argument(name: str, value: Any, annotation: Any) -> None:
    """Raises ValueError unless a value is what its annotation (int, float | None, nn.Module, Loss, ...) says."""
    kinds = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    if value is None and types.NoneType in kinds:
        return None
    if any(isinstance(kind, type) and issubclass(kind, nn.Module) for kind in kinds):
        check_module(name, value)
    if Loss in kinds:
        check_loss(value)
    if bool in kinds and not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} is {value!r}: expected True or False")
    if float in kinds:
        check_number(name, value)
    if int in kinds:
        check_whole(name, value, smallest=0)
    if tuple[int, ...] in kinds:
        check_widths(name, value)
    return None


def check_number(name: str, value: Any) -> None:
    """Raises ValueError unless a value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not np.isfinite(float(value)):
        raise ValueError(f"{name} is {value!r}: expected a finite number")


def check_whole(name: str, value: Any, smallest: int) -> None:
    """Raises ValueError unless a value is an integer of at least `smallest` that fits 32 bits."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not smallest <= int(value) < 2**31:
        raise ValueError(f"{name} is {value!r}: expected a whole number, {smallest} or more")


def check_at_once(tasks: Any) -> None:
    """Raises ValueError unless a number of tasks that are taken at once is None or an integer of at least 1."""
    if tasks is not None:
        check_whole("tasks_at_once", tasks, smallest=1)


def check_widths(name: str, value: Any) -> None:
    """Raises ValueError unless a value is a sequence of positive widths."""
    if not isinstance(value, (tuple, list)):
        raise ValueError(f"{name} is {value!r}: expected widths such as (40, 40)")
    for width in value:
        check_whole(f"a width in {name}", width, smallest=1)


def _as_split(split: Any, what: str) -> Split:
    """A pair as a Split. Raises ValueError unless x is floats [M, ...] and y floats [M, C], of one example or more."""
    if not isinstance(split, tuple) or len(split) != 2:
        raise ValueError(f"{what} is {type(split).__name__}: expected Split(x, y)")
    x, y = split
    _check_floats(x, f"{what} x", 1)
    _check_floats(y, f"{what} y", 2)
    if y.ndim != 2 or x.shape[0] != y.shape[0] or 0 in (*x.shape, *y.shape):
        raise ValueError(f"{what} x is {list(x.shape)} and y {list(y.shape)}: expected x [M, ...] and y [M, C], M > 0")
    return Split(x, y)


def check_ways(y: Any, units: int | None) -> None:
    """Raises ValueError unless targets y [M, C] have a column for each of a learner's outputs."""
    if y.shape[1] != units:
        raise ValueError(f"support y has {y.shape[1]} columns: expected {units}, the number of the learner's outputs")


def check_loss(loss: Any) -> None:
    """Raises ValueError unless a loss is a function."""
    if not callable(loss):
        raise ValueError(f"loss is {loss!r}: expected a function (outputs [Q, C], targets [Q, C]) -> number")


def check_module(name: str, network: Any) -> None:
    """Raises ValueError for what is no Flax module, and for a base-learner of this library that is impossible.

    That is one with impossible sizes or an unknown normalisation mode.
    """
    if not isinstance(network, nn.Module):
        found = getattr(network, "__name__", repr(network))
        raise ValueError(f"{name} is {found}: expected a Flax module, such as MLP((40,))")
    if not type(network).__module__.startswith("oplstm_jax."):
        return
    names = [name for name in type(network).__dataclass_fields__ if name not in ("parent", "name")]
    fields = {name: getattr(network, name) for name in names}
    sizes = {name: fields[name] for name in SIZES if fields.get(name) is not None}
    for name, size in sizes.items():
        check_whole(name, size, smallest=1)
    check_widths("hidden", fields.get("hidden", ()))
    if "norm" in fields:
        check_mode(fields["norm"])


def check_conv4(net: Any, kind: type[nn.Module]) -> None:
    """Raises ValueError unless a network is the Conv-4 of a learner that needs one of its own."""
    if not isinstance(net, kind):
        raise ValueError(f"net is {type(net).__name__}: expected {kind.__name__} (`make` converts a Conv4)")


def _as_episode(episode: Any) -> Episode:
    if not isinstance(episode, tuple) or len(episode) != 2:
        raise ValueError(f"episode is {type(episode).__name__}: expected Episode(support, query)")
    return Episode(_as_split(episode[0], "support"), _as_split(episode[1], "query"))


def _check_floats(a: Any, what: str, least: int) -> None:
    if not hasattr(a, "shape") or not hasattr(a, "dtype"):
        raise ValueError(f"{what} is {type(a).__name__}: expected an array")
    if len(a.shape) < least or not jnp.issubdtype(a.dtype, jnp.floating):
        raise ValueError(f"{what} is {a.dtype} {list(a.shape)}: expected floats with {least} or more dimensions")
