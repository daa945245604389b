"""Real commands in forked processes that are killed, or run out of disk, at a chosen moment.

As a script this file imports all that the commands need and then forks a process for every line of JSON on standard
input, so that a process costs no imports; JAX's backends start after the fork. `Commands` is the end that tests hold.
"""

import contextlib
import gc
import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.chmod")
OF_ITS_OWN = ("wall_seconds", "peak_bytes", "command", "commit")  # what results of equal runs may differ in
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def empty_checkpoint(folder):
    """Leaves the files of a checkpoint, and nothing in them."""
    for file in (folder / "default").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")


class Ended(NamedTuple):
    """How a command ended: exit code (minus the signal that killed it, if any), what it said, changes on the disk."""

    code: int
    stdout: str
    stderr: str
    changes: int

    @property
    def output(self) -> str:
        """All it said, standard error last."""
        return self.stdout + self.stderr


class Fault(NamedTuple):
    """What happens to a command.

    kill_at: it gets `signal` just before the change number so much that it makes on the disk, or `delay` seconds later;
    0 lets it live. only: name of the files whose changes count there, by default all. file_limit: bytes no file may
    exceed, as on a full disk. user: id it runs under. memory: bytes it may take. seconds: after so many it gets
    SIGTERM, after twice as many SIGKILL. folder: where it runs.
    """

    kill_at: int = 0
    only: str = ""
    signal: int = signal.SIGKILL
    delay: float = 0
    file_limit: int = 0
    user: int = 0
    memory: int = 0
    seconds: float = 0
    folder: str = str(ROOT)


class Commands:
    """Runs commands of the library in processes forked from one that has imported everything.

    cache: folder in which compiled programs are kept, so that only the first of many like processes compiles, and
    prepared data.
    """

    def __init__(self, cache: Path):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": str(cache)}
        environment |= {
            "OPLSTM_CACHE": str(cache / "prepared"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        words = [sys.executable, "-W", "ignore", __file__]
        self._server = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )

    def __call__(self, *words: str | Path, **fault: float | str) -> Ended:
        """Runs `python -m WORDS`, with the fields of `Fault` that are given."""
        request = {"words": [str(word) for word in words], **Fault(**fault)._asdict()}
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return Ended(*json.loads(self._server.stdout.readline()))

    def close(self) -> None:
        """Ends the process they are forked from."""
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()


def serve() -> None:
    """Forks a process per request and answers with the fields of `Ended`. In the forked ones it does not return."""
    for line in iter(sys.stdin.readline, ""):
        outlets, inlets = zip(*(os.pipe() for _ in ("stdout", "stderr", "changes")), strict=True)
        child = os.fork()
        if not child:
            _become_command(json.loads(line), *inlets)
        for inlet in inlets:
            os.close(inlet)
        with ThreadPoolExecutor() as readers:  # side by side, as a full pipe would stop the command
            *said, changes = readers.map(_read, outlets)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([code, *(text.decode(errors="backslashreplace") for text in said), len(changes)]), flush=True)


def _read(outlet: int) -> bytes:
    with os.fdopen(outlet, "rb") as pipe:
        return pipe.read()


def _become_command(request: dict, stdout: int, stderr: int, changes: int) -> None:
    """Turns this process into the command and leaves by SystemExit."""
    for stream, place in ((stdout, 1), (stderr, 2)):
        os.dup2(stream, place)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["file_limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_limit"],) * 2)
    if request["memory"]:
        resource.setrlimit(resource.RLIMIT_AS, (request["memory"],) * 2)
    if request["user"]:
        os.seteuid(request["user"])
    if request["seconds"]:
        _send(signal.SIGTERM, request["seconds"])
        _send(signal.SIGKILL, 2 * request["seconds"])
    os.chdir(request["folder"])
    sys.addaudithook(_counter(request, changes))
    module, *arguments = request["words"]
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    sys.exit(0)


def _counter(request: dict, changes: int):
    """An audit hook that writes a byte to `changes` per change below the folder of --workdir, and kills where asked."""
    places = [word.partition("=")[2] for word in request["words"] if word.startswith("--workdir=")]
    count, name = 0, request["only"]

    def hook(event: str, values: tuple) -> None:
        nonlocal count
        writes = event == "open" and isinstance(values[2], int) and values[2] & WRITING
        if not (writes or event in CHANGES) or not _is_below(places, event, values):
            return
        os.write(changes, b".")
        counts = not name or os.path.basename(values[0]) == name
        count += counts
        if counts and count == request["kill_at"]:
            _send(request["signal"], request["delay"])

    return hook


def _is_below(places: list[str], event: str, values: tuple) -> bool:
    """Whether an audited change is one in the folders; what names its folder by a descriptor is taken for one."""
    by_descriptor = event in ("os.remove", "os.rmdir", "os.mkdir") and values[-1] not in (-1, None)
    if by_descriptor or not isinstance(values[0], (str, os.PathLike)):
        return by_descriptor
    return any(os.fspath(values[0]).startswith(place) for place in places)


def _send(number: int, delay: float) -> None:
    if delay:
        timer = threading.Timer(delay, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()
    else:
        os.kill(os.getpid(), number)


def outcome(workdir: Path) -> dict[str, object]:
    """All a finished run leaves behind that must not depend on how often it was interrupted: file -> content."""
    result = json.loads((workdir / "result.json").read_text())
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    files = sorted(path.name for path in workdir.iterdir())
    return {
        "files": files,
        "checkpoints": sorted(path.name for path in (workdir / "checkpoints").iterdir()),
        "result": {name: value for name, value in result.items() if name not in OF_ITS_OWN},
        "metrics": [{n: value for n, value in line.items() if n != "tasks_per_second"} for line in lines],
        **{name: (workdir / name).read_bytes() for name in ("config.json", "params.npz", "test_scores.npy")},
    }


if __name__ == "__main__":
    import compiling
    import matplotlib.figure  # noqa: F401
    import ml_collections.config_flags  # noqa: F401

    import experiments.run  # noqa: F401
    import oplstm_jax.figures
    import oplstm_jax.report
    import oplstm_jax.trained  # noqa: F401

    compiling.share_context()
    gc.freeze()  # what is imported is not looked through again in every process
    with contextlib.suppress(KeyboardInterrupt):
        serve()
