"""What --help prints: the text of the command, its flags with defaults, and the fields of a configuration."""

import importlib
import pkgutil
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from experiments import configs

WIDTH = 110
WORDS = ("--help", "-h", "-help", "--helpfull", "--helpshort")


def wanted(arguments: list[str]) -> bool:
    """Whether one of the arguments asks for help."""
    return any(word in WORDS for word in arguments)


def text(command: str, arguments: list[str]) -> str:
    """The help of a command, whose text is `command`; the other arguments are read, so that a --config is shown."""
    flags.FLAGS([sys.argv[0], *(word for word in arguments if word not in WORDS)])
    parts = [command.strip(), "Flags:\n" + "\n".join(map(_flag, _own_flags()))]
    if "config" in flags.FLAGS:
        config = flags.FLAGS["config"].value
        parts += [_configurations()] if config is None else [_fields(config), _meanings()]
    return "\n\n".join(parts)


def _own_flags() -> list[flags.Flag]:
    """Flags of the command and those that all commands have, in order of their names."""
    by_module = flags.FLAGS.flags_by_module_dict()
    names = {flag.name for module in (sys.argv[0], "experiments.cli") for flag in by_module.get(module, [])}
    names |= set(getattr(sys.modules["__main__"], "SHARED_FLAGS", ()))  # those of other modules that it takes as well
    return [flags.FLAGS[name] for name in sorted(names) if "." not in name]


def _flag(flag: flags.Flag) -> str:
    name = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}"
    default = flag.default_as_str
    ending = f" [{default.strip(chr(39))}]" if default and default not in ("''", "'None'") else ""
    return _entry(name, f"{flag.help}{ending}")


def _configurations() -> str:
    """Every configuration file with the learners it knows."""
    lines = []
    for module in pkgutil.iter_modules(configs.__path__):
        found = importlib.import_module(f"{configs.__name__}.{module.name}")
        if names := getattr(found, "LEARNERS", getattr(found, "PROBLEMS", None)):
            lines.append(_entry(f"experiments/configs/{module.name}.py", ", ".join(names), 42))
    hint = "--help beside --config=experiments/configs/sine.py:op_lstm shows all of its fields."
    return "\n".join(["Configurations (--config=FILE:LEARNER,field=value,...) and their learners:", *lines, "", hint])


def _fields(config: ConfigDict) -> str:
    """Every field of a configuration with its value, as it is written to set it."""
    entries = [f"  --config.{name}={value}" for name, value in _flat(config)]
    return "\n".join(["Fields of this configuration, with their values:", *entries])


def _flat(config: ConfigDict, prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name in sorted(config):
        value = config[name]
        if isinstance(value, ConfigDict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _meanings() -> str:
    build = importlib.import_module("oplstm_jax.build")
    return "What they mean:\n\n" + (build.__doc__ or "").partition("\n\n")[2].rstrip()


def _entry(name: str, words: str, column: int = 26) -> str:
    """A name and, from a column on, what is said of it."""
    lines = textwrap.wrap(words, WIDTH - column) or [""]
    first = f"  {name:<{column - 4}}  {lines[0]}"
    return "\n".join([first, *(" " * column + line for line in lines[1:])])
