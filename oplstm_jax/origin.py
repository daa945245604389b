"""Where a result comes from: commit, hardware, versions, command, date, and the memory it took."""

import datetime
import functools
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import jax


@functools.cache
def facts() -> dict[str, str]:
    """What a result must say of its origin, as it is when first asked: commit, hardware, versions, command and date.

    Where the code is a copy without its repository, or installed, $OPLSTM_COMMIT says which commit it is.
    """
    device = jax.devices()[0]
    kind = f"{os.cpu_count()} cores {platform.machine()}" if device.platform == "cpu" else device.device_kind
    return {
        "commit": os.environ.get("OPLSTM_COMMIT") or _commit() or "unknown",
        "hardware": f"{len(jax.devices())} x {device.platform}, {kind}",
        "versions": f"python {platform.python_version()}, jax {jax.__version__}",
        "command": _command(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _command() -> str:
    module, (script, *words) = sys.modules["__main__"].__spec__, sys.argv
    program = f"-m {module.name}" if module else Path(script).name
    return " ".join(["python", program, *map(portable, words)])


def _commit() -> str:
    """Of the repository this file is a part of, not of one that the library is installed in."""
    if _git("rev-parse", "--show-prefix") != "oplstm_jax/":
        return ""
    return _git("describe", "--always", "--dirty", "--abbrev=12")


def _git(*words: str) -> str:
    command = ["git", "--no-optional-locks", *words]  # only reads
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:  # no git
        return ""
    return done.stdout.strip()


def portable(word: str) -> str:
    """A flag as it would be written on any machine: of an absolute path the last two parts."""
    flag, equals, value = word.partition("=")
    return f"{flag}={'/'.join(Path(value).parts[-2:])}" if equals and Path(value).is_absolute() else word


def peak_bytes() -> dict[str, int]:
    """The most memory this process has held: resident on the host, and on its first own device where that can say."""
    on_device = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    host = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    return host if on_device is None else {**host, "device": on_device}
