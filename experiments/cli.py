"""How every command behaves: bad input is one clear line and exit code 2, a signal 130 or 143, never a traceback.

Numbers that are not finite and memory that does not suffice are one line and exit code 1.
"""

import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import jax
from absl import flags

from experiments import help, overrides
from oplstm_jax.signals import Interrupted

flags.DEFINE_string("compilation_cache", None, "Folder that keeps compiled programs for the next command.")
flags.DEFINE_integer("cpu_devices", 1, "On a CPU: cores that share the tasks of a meta-batch.", lower_bound=1)

AGAIN = 0.05  # seconds until a signal that was lost is sent again
_reporting = threading.Lock()  # held while `_report` deals with one
_words: list[str] = []  # arguments that are no flags, until somebody takes them


def run(main: Callable[[], None], words: float = 0) -> None:
    """Parses the flags, runs `main` and exits. `words`: how many arguments that are no flags it takes, inf for any."""
    _log_to_stderr()
    sys.unraisablehook = _report
    _listen()
    try:
        if help.wanted(sys.argv[1:]):
            print(help.text(sys.modules["__main__"].__doc__ or "", sys.argv[1:]))
            sys.exit(0)
        _words.extend(_arguments())
        if len(_words) > words:
            raise ValueError(f"unexpected argument {_words[int(words)]!r}: options are written --name=value")
    except Exception as error:  # configuration files run any code and absl raises many types
        _refuse(error)
    try:
        if flags.FLAGS.compilation_cache:
            jax.config.update("jax_compilation_cache_dir", flags.FLAGS.compilation_cache)
        if flags.FLAGS.cpu_devices > 1:
            jax.config.update("jax_num_cpu_devices", flags.FLAGS.cpu_devices)
        main()
    except Interrupted as stop:
        _ignore_signals()
        print(f"\n{stop}: saved; the same command goes on from here", file=sys.stderr)
        sys.exit(128 + stop.signal_number)
    except KeyboardInterrupt as stop:  # before there is anything to save, or after all is saved
        _ignore_signals()
        number = stop.args[0] if stop.args else signal.SIGINT
        print(f"\ninterrupted by {signal.Signals(number).name}: the same command goes on from here", file=sys.stderr)
        _leave(128 + number)
    except BrokenPipeError:  # who read what is printed has seen enough, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(128 + signal.SIGPIPE)
    except (ValueError, flags.Error, OSError) as error:
        _refuse(error)
    except FloatingPointError as error:
        _fail(str(error))
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        needed = re.search(r"allocating (\d+) bytes", str(error))
        size = f" ({int(needed[1]) / 1e9:.3g} GB at once)" if needed else ""
        _fail(f"out of memory{size}: take smaller sizes, or fewer tasks at a time with --config.tasks_at_once")


def _arguments() -> list[str]:
    """Parses the flags and returns the arguments that are none. Raises ValueError for a field that is not there."""
    try:
        return flags.FLAGS(sys.argv)[1:]
    except (AttributeError, KeyError, TypeError):  # what ml_collections raises for a field that is not there
        overrides.check_arguments(sys.argv)
        raise


def _no_config(what: str) -> str:
    """A message that --config is none, with the configuration files that come with the experiments."""
    files = sorted((Path(__file__).parent / "configs").glob("*.py"))
    own = ", ".join(f"experiments/configs/{file.name}" for file in files if "get_config" in file.read_text())
    return f"flag --config: no {what}; expected your own or one of {own}"


def _fail(text: str) -> NoReturn:
    """Prints what stopped a command that was well asked for as one line and exits with 1."""
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(1)


def _refuse(error: Exception) -> None:
    """Prints the error as one line and exits with 2."""
    said = str(error).strip('"')
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    text = next((line for line in lines if line.startswith("Failed loading config file")), lines[-1] if lines else "")
    if isinstance(error, (FileExistsError, NotADirectoryError)) and error.filename:
        text = f"{error.filename}: is a file, or is below one: expected a folder"
    for name in ("ValueError: ", "TypeError: ", "KeyError: "):
        text = text.removeprefix(name)
    if "Failed loading config file" in said and (missing := re.search(r"No such file or directory: ('.*')", text)):
        text = _no_config(f"file {missing[1]}")
    elif isinstance(error, SyntaxError) or "earlier failure to load" in text or "no attribute 'get_config'" in text:
        text = _no_config(f"configuration file ({text})")
    print(f"error: {text or type(error).__name__}", file=sys.stderr)
    sys.exit(2)


def _leave(code: int) -> NoReturn:
    """Exits without taking the interpreter down, in which jaxlib crashes after a trace that a signal cut short."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def required(name: str) -> str:
    """The value of a flag that must be given. Raises ValueError with what it means and the way to write it."""
    flag = flags.FLAGS[name]
    if flag.value is None:
        meaning = flag.help.rstrip(".").partition(";")[0]
        raise ValueError(f"flag --{name} is missing: write --{name}=...; expected: {meaning} (--help has examples)")
    return flag.value


def positional(what: str, choices: Iterable[str]) -> str:
    """The next argument that is no flag, one of `choices`. Raises ValueError with the choices."""
    word = _words.pop(0) if _words else None
    if word is None or word not in choices:
        problem = f"unknown {what} {word!r}" if word else f"no {what} given"
        raise ValueError(f"{problem}: expected one of {', '.join(choices)}")
    return word


def words(what: str) -> list[str]:
    """All further arguments that are no flags. Raises ValueError if there are none."""
    if not _words:
        raise ValueError(f"no {what} given: write it after the command")
    return [_words.pop(0) for _ in range(len(_words))]


def folder(path: str | Path) -> Path:
    """The path, after checking that it is a folder. Raises ValueError if it is not."""
    if not Path(path).is_dir():
        raise ValueError(f"{path}: no such folder")
    return Path(path)


def integers(name: str) -> list[int]:
    """The value of a list flag as integers, none below 0. Raises ValueError for anything else."""
    words = flags.FLAGS[name].value or []
    try:
        values = [int(word) for word in words]
    except ValueError:
        values = []
    if not values or min(values) < 0 or len(set(values)) < len(values):
        raise ValueError(f"flag --{name} is {','.join(words)!r}: expected different whole numbers, none below 0: 0,1,2")
    return values


def _listen() -> None:
    """SIGTERM unwinds the program as Ctrl-C does, so that what it started ends too; SIGINT stays ignored if it was."""
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)


def _stop(number: int, frame) -> NoReturn:
    raise KeyboardInterrupt(number)


def _ignore_signals() -> None:
    """The program is leaving: a second signal has nothing to add."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _report(unraisable) -> None:
    """Prints an error that had nowhere to go, but for what TensorStore's threads say after a write that failed.

    A signal that came while garbage was collected, where nothing can be raised, is sent again a moment later.
    """
    if isinstance(stop := unraisable.exc_value, KeyboardInterrupt):
        with _reporting:
            threading.Thread(target=_send_again, args=(stop.args or (signal.SIGINT,)), daemon=True).start()
    elif str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def _send_again(number: int) -> None:
    """Sends a signal that was lost once more, when the hook that heard of it, which may not raise either, is done."""
    with _reporting:
        pass
    time.sleep(AGAIN)
    os.kill(os.getpid(), number)


def _log_to_stderr() -> None:
    logger = logging.getLogger("oplstm_jax")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # of a write that failed the command tells itself
