"""The folder of one run, claimed for one configuration and locked against other processes; `records.py` reads it.

    config.json      the configuration the folder belongs to
    metrics.jsonl    one line per log point
    checkpoints/     see `checkpoint.py`
    params.npz       the tested parameters
    test_scores.npy  score of each test task
    task_list        digest of the test tasks and so of the images, written as training starts
    features         digest of the parameters of the run that features are taken from, if any, written then too
    machines.jsonl   a line per machine and versions that had a share in it: hardware, versions
    result.json      written last: a folder that holds it is finished
"""

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from oplstm_jax.files import PARTIAL, append_line, write_text
from oplstm_jax.records import complete, config_text, read_config, read_lines, read_metrics, read_result, write_lines


class InUse(ValueError):
    """Another process has the folder locked."""


class Workdir:
    """Opens (and makes) the folder for one configuration and locks it until `close`, or until the process ends.

    writes: False for a process that takes part in the run of another one (`jax.distributed`) and only reads.

    Raises ValueError if it belongs to another configuration, holds what is no run or cannot be written, `InUse` if
    another process, or this one, has it open.
    """

    def __init__(self, path: str | Path, config: dict[str, Any], writes: bool = True):
        self.path, self.writes = Path(path), writes
        self.config: dict[str, Any] = json.loads(config_text(config))  # what JSON cannot hold makes no folder
        if not writes:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _refuse_others(self.path)
            self._lock = open(self.path / ".lock", "a")
        except OSError as error:
            raise ValueError(f"workdir {path}: cannot be written: {error.strerror}") from None
        try:
            _claim_lock(self._lock, path)
            for left in self.path.glob(f".*{PARTIAL}"):  # by a process that was killed as it wrote
                left.unlink()
            self._claim()
        except ValueError:
            self.close()
            raise

    def _claim(self) -> None:
        file = self.path / "config.json"
        if not file.exists():
            write_text(file, config_text(self.config))
        elif (there := read_config(self.path)) != (asked := complete(self.config)):
            difference = "; ".join(_differences(there, asked))
            raise ValueError(f"workdir {self.path}: holds another config: {difference}")

    def claim_tasks(self, digest: str) -> None:
        """Keeps the digest of the test tasks as a run starts. Raises ValueError if it goes on with others."""
        self._keep("task_list", digest, "its data has other images, or JAX other settings,")

    def claim_features(self, digest: str) -> None:
        """Keeps the digest of features that were trained before, likewise."""
        self._keep("features", digest, "the run at features_from has other parameters")

    def _keep(self, name: str, digest: str, change: str) -> None:
        file = self.path / name
        if file.exists() and file.read_text() != digest:
            reason = f"{change} than when it started: bring those back, or take another workdir"
            raise ValueError(f"workdir {self.path}: {reason}")
        if self.writes and not file.exists():
            write_text(file, digest)

    def claim_machine(self, facts: Mapping[str, str]) -> dict[str, str]:
        """Keeps on what the run is trained from now on; hardware and versions of all that had a share in it."""
        file, here = self.path / "machines.jsonl", {name: facts[name] for name in ("hardware", "versions")}
        known = read_lines(file, *here)
        if here not in known:
            known.append(here)
            if self.writes:
                write_lines(file, known)
        return {name: "; ".join(dict.fromkeys(machine[name] for machine in known)) for name in here}

    def close(self) -> None:
        """Lets other processes use the folder."""
        if self.writes:
            self._lock.close()

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def metrics(self) -> list[dict]:
        """The lines of metrics.jsonl; a last line cut short by a kill is left out."""
        return read_metrics(self.path)

    def keep_metrics_up_to(self, step: int) -> None:
        """Drops the lines after `step`, which a resumed run writes again."""
        if not self.writes:
            return
        write_lines(self.path / "metrics.jsonl", (line for line in self.metrics() if line["step"] <= step))

    def log(self, line: dict) -> None:
        """Appends one line to metrics.jsonl; on return it is on the disk."""
        if self.writes:
            append_line(self.path / "metrics.jsonl", json.dumps(line))

    def result(self) -> dict | None:
        """What result.json holds, None while the run is not finished."""
        return read_result(self.path)


@contextlib.contextmanager
def lock(path: str | Path, to_read: bool = False) -> Iterator[None]:
    """Keeps other processes out of the folder of a run, if it is there; to_read: not those that only read as well.

    Raises `InUse` if one is at work in it.
    """
    file = Path(path) / ".lock"
    if not file.exists():
        yield
        return
    with open(file) as held:
        _claim_lock(held, path, fcntl.LOCK_SH if to_read else fcntl.LOCK_EX)
        yield


def _differences(there: Mapping[str, Any], asked: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """The fields in which two configurations differ, with both values; those of one part as `options.gamma`."""
    for name in sorted({*there, *asked}):
        old, new = there.get(name), asked.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{within}{name}.")
        elif old != new or (name in there) != (name in asked):
            was, wanted = (json.dumps(of[name]) if name in of else "absent" for of in (there, asked))
            yield f"{within}{name} is {was} there, {wanted} asked"


def _refuse_others(path: Path) -> None:
    """Raises ValueError for a folder of something else than a run, in which not even a lock is left then."""
    others = sorted(found.name for found in path.iterdir() if not found.name.startswith("."))
    if others and "config.json" not in others:
        held = ", ".join(others[:3]) + ", ..." * (len(others) > 3)
        raise ValueError(f"workdir {path}: holds {held} and no run: expected a new or empty folder")


def _claim_lock(file: IO, path: str | Path, kind: int = fcntl.LOCK_EX) -> None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse(f"workdir {path}: in use by another process") from None
