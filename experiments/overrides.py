"""Fields of a configuration set by a command, --config.FIELD=VALUE: which there are, and numbers that may be None."""

import re
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from oplstm_jax.hints import hint

OVERRIDE = re.compile(r"--?(?:no)?config\.([^=]+)")


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
            known = ", ".join(sorted(holder)) or "none"
            raise ValueError(f"unknown field {path!r}{hint(name, holder)}; {fields}: {known}")
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
