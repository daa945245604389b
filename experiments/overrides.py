"""Fields of a configuration that a command sets: --config.FIELD=VALUE, or FIELD=VALUE after the colon of --config."""

import ast
import re
from collections.abc import Sequence
from types import NoneType
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from oplstm_jax.hints import hint
from oplstm_jax.learners import FACTORIES, option_names

OVERRIDE = re.compile(r"--?(?:no)?config\.([^=]+)")
COMMA = re.compile(r",(?![^(\[]*[)\]])")  # outside of brackets


class OrNone(flags.ArgumentParser):
    """Reads None as no number (no clip, say), anything else as another parser does."""

    def __init__(self, number: flags.ArgumentParser):
        self.number = number
        self.syntactic_help = number.syntactic_help

    def parse(self, argument: Any) -> Any:
        return None if argument == "None" else self.number.parse(argument)

    def flag_type(self) -> str:
        return f"{self.number.flag_type()} or None"


config_flags.register_flag_parser_for_type(int, OrNone(flags.IntegerParser()))
config_flags.register_flag_parser_for_type(float, OrNone(flags.FloatParser()))


def check_known(config: ConfigDict, path: str) -> None:
    """Raises ValueError, with the fields there are, if `config` has no field "name" or "options.name"."""
    holder, above = config, ""
    for name in path.split("."):
        if not isinstance(holder, ConfigDict):
            raise ValueError(f"unknown field {path!r}: {above} is {holder!r} and has no fields")
        if name not in holder:
            fields = f"fields of {above}" if above else "fields"
            others = _unlisted(config) if above == "options" else []
            known = ", ".join(sorted(holder)) or "none"
            also = f"; after the colon of --config also {', '.join(others)}" if others else ""
            raise ValueError(f"unknown field {path!r}{hint(name, [*holder, *others])}; {fields}: {known}{also}")
        holder, above = holder[name], f"{above}.{name}".strip(".")


def check_arguments(arguments: Sequence[str]) -> None:
    """Raises ValueError for the first --config.FIELD of the arguments that the --config before it lacks."""
    config = None
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if name in ("--config", "-config"):
            config = flags.FLAGS["config"].parser.parse(value or following)
        elif config is not None and (found := OVERRIDE.match(word)):
            check_known(config, found[1])


def split(argument: str) -> list[str]:
    """The parts of "learner,field=value,...", whose values may be tuples."""
    return COMMA.split(argument)


def assign(config: ConfigDict, assignments: list[str]) -> ConfigDict:
    """Fills in "field=value" of each assignment; of options also those of the learner that `config` does not list.

    Raises ValueError for a field that does not exist or a wrong type.
    """
    for assignment in assignments:
        path, _, text = assignment.partition("=")
        above, _, field = path.rpartition(".")
        if above == "options" and field in _unlisted(config):
            with config.options.unlocked():
                config.options[field] = _typed(path, text, None)
            continue
        check_known(config, path)
        holder = config[above] if above else config
        try:
            holder[field] = _typed(path, text, holder[field])
        except TypeError as error:  # ml_collections' own idea of types
            raise ValueError(f"field {path}: {text!r}: {' '.join(str(error).split())}") from None
    return config


def _unlisted(config: ConfigDict) -> list[str]:
    """Options that the learner has and the configuration leaves as they are."""
    known = option_names(config.learner) if config.get("learner") in FACTORIES else ()
    return [name for name in known if name not in config.options]


def _typed(field: str, text: str, old: Any) -> Any:
    try:
        value = text if isinstance(old, str) else ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        value = text
    kinds = {float: (int, float, NoneType), int: (int, NoneType)}.get(type(old), (type(old),))
    if old is not None and type(value) not in kinds:
        raise ValueError(f"field {field}: {text!r} is not of type {type(old).__name__}")
    return float(value) if isinstance(old, float) and value is not None else value
