"""What a library raises for arguments that do not fit, as a ValueError of one line; errors of others' code pass."""

from collections.abc import Callable

import flax
import jax

# An error raised in these is about what they were given; raised anywhere else, it is about the code there.
LIBRARIES = ("oplstm_jax", "jax", "jaxlib", "flax", "numpy", "chex", "optax", "inspect", "functools", "contextlib")
# What numpy, JAX and Flax raise for arrays that do not fit. Errors about tracing are the caller's own and pass.
MISFITS = (TypeError, KeyError, IndexError, AttributeError, AssertionError, ZeroDivisionError, flax.errors.FlaxError)


def or_value_error(function: Callable, what: str) -> Callable:
    """The function, raising ValueError for arguments that it, or the libraries below it, cannot work with.

    An error that somebody's own network, rule or loss raises itself is about that code, and passes as it is.
    """

    def refusing(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except MISFITS as error:
            if isinstance(error, jax.errors.JAXTypeError) or _is_raised_by_others(error):
                raise
            raise ValueError(f"{what}: {_line(error)}") from error

    return refusing


def _is_raised_by_others(error: Exception) -> bool:
    """Whether the line that raised it is neither of this library nor of those it is built on."""
    raised_in = error.__traceback__
    while raised_in is not None and raised_in.tb_next is not None:
        raised_in = raised_in.tb_next
    module = raised_in.tb_frame.f_globals.get("__name__", "") if raised_in is not None else ""
    return module.partition(".")[0] not in LIBRARIES


def _line(error: Exception) -> str:
    said = f"there is no {error} in it" if type(error) is KeyError else str(error)
    lines = [line.strip() for line in said.splitlines() if line.strip()] or [type(error).__name__]
    if isinstance(error, flax.errors.ScopeParamShapeError):
        lines.insert(0, "inputs of another size than the parameters are for:")
    announced = lines[0].endswith(":")  # by the first line; the second says it
    return f"what it was given does not fit: {' '.join(lines[: 1 + announced])}"
