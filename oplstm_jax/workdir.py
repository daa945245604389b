"""The folder of one run: its configuration, metrics, checkpoints and result.

    config.json      the configuration the folder belongs to
    metrics.jsonl    one line per log point
    checkpoints/     see `checkpoint.py`
    params.npz       the tested parameters
    test_scores.npy  score of each test task
    task_list        digest of the test tasks and so of the images, written as training starts
    result.json      written last: a folder that holds it is finished
"""

import contextlib
import difflib
import fcntl
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from oplstm_jax.files import PARTIAL, append_line, atomic, write_text

# Fields that configurations did not always have, with the values that say what runs did before.
LATER_FIELDS = {
    "filters": 64,
    "image_size": None,
    "rotations": False,
    "tasks_at_once": None,
    "augment": {"flip": False, "crop": 0, "colour": 0.0},
    "skip_nonfinite": False,
    "precision": "float32",
    "transformer": {"width": 64, "blocks": 2, "heads": 4, "patch": 7},
    "position": False,
    "features_from": None,
    "final_learning_rate": None,
    "optimiser": "adam",
}
RESULT = ("score", "interval", "config", "metric", "params_sha256")  # what every result.json has, among more


class InUse(ValueError):
    """Another process has the folder locked."""


class Workdir:
    """Opens (and makes) the folder for one configuration and locks it against other processes.

    writes: False for a process that takes part in the run of another one (`jax.distributed`) and only reads.

    Raises ValueError if it belongs to another configuration, holds what is no run or cannot be written, `InUse` if
    another process has it.
    """

    def __init__(self, path: str | Path, config: dict[str, Any], writes: bool = True):
        self.path, self.writes = Path(path), writes
        if not writes:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path / ".lock", "a")
        except OSError as error:
            raise ValueError(f"workdir {path}: cannot be written: {error.strerror}") from None
        try:
            _claim_lock(self._lock, path)
            for left in self.path.glob(f".*{PARTIAL}"):  # by a process that was killed as it wrote
                left.unlink()
            self._claim(config)
        except ValueError:
            self.close()
            raise

    def _claim(self, config: dict[str, Any]) -> None:
        file = self.path / "config.json"
        if not file.exists():
            if others := sorted(found.name for found in self.path.iterdir() if not found.name.startswith(".")):
                held = ", ".join(others[:3]) + ", ..." * (len(others) > 3)
                raise ValueError(f"workdir {self.path}: holds {held} and no run: expected a new or empty folder")
            write_text(file, config_text(config))
        elif (old := config_text(read_config(self.path))) != (text := config_text(complete(config))):
            changed = [
                line.strip().rstrip(",")
                for line in difflib.unified_diff(old.splitlines(), text.splitlines(), n=0, lineterm="")
                if line[:1] in "+-" and line[:3] not in ("+++", "---")
            ]
            difference = "; ".join(" ".join(line.split()) for line in changed)
            raise ValueError(f"workdir {self.path}: holds another config (- there, + asked): {difference}")

    def claim_tasks(self, digest: str) -> None:
        """Keeps the digest of the test tasks as a run starts. Raises ValueError if it goes on with other images."""
        file = self.path / "task_list"
        if file.exists() and file.read_text() != digest:
            reason = "its data has other images than when it started: prepare those again, or take another workdir"
            raise ValueError(f"workdir {self.path}: {reason}")
        if self.writes and not file.exists():
            write_text(file, digest)

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
        kept = [line for line in self.metrics() if line["step"] <= step]
        write_text(self.path / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in kept))

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


def _claim_lock(file: IO, path: str | Path, kind: int = fcntl.LOCK_EX) -> None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse(f"workdir {path}: in use by another process") from None


def config_text(config: Mapping[str, Any]) -> str:
    """What config.json holds."""
    return json.dumps(config, indent=1, sort_keys=True)


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it would be written today; equal runs have equal ones.

    Fields that it did not have yet have the value of `LATER_FIELDS`; of the mean-pooled LSTM, `average_cells` became a
    value of `pool`.
    """
    options = config.get("options")
    if isinstance(options, Mapping) and "average_cells" in options:
        kept = {name: value for name, value in options.items() if name != "average_cells"}
        pool = "hidden_and_cell" if options["average_cells"] else "hidden"
        config = {**config, "options": {"pool": pool, **kept}}
    return {**LATER_FIELDS, **config}


def write_result(path: str | Path, result: dict, scores: np.ndarray) -> None:
    """Writes the scores of the test tasks [n] and then result.json into a folder, each whole or not at all."""
    with atomic(Path(path) / "test_scores.npy") as file:
        np.save(file, scores)
    write_text(Path(path) / "result.json", json.dumps(result, indent=1, sort_keys=True) + "\n")


def read_metrics(path: str | Path) -> list[dict]:
    """The lines of a workdir's metrics.jsonl, [] if there are none. Raises ValueError for a line that is damaged."""
    file = Path(path) / "metrics.jsonl"
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [_parse(line, f"{file}: line {number}", "step") for number, line in enumerate(lines, 1)]


def own_seconds(result: dict[str, Any]) -> float:
    """A run's share of the wall time of the program that trained it, alone or with other seeds."""
    return result["wall_seconds"] / result.get("trained_together", 1)


def read_result(path: str | Path) -> dict | None:
    """The result of a finished workdir, else None. Raises ValueError if the file is damaged."""
    file = Path(path) / "result.json"
    return _parse(file.read_bytes(), str(file), *RESULT) if file.exists() else None


def read_scores(path: str | Path) -> np.ndarray:
    """Scores [n] of the test tasks of a finished workdir. Raises ValueError if the file is missing or damaged."""
    file = Path(path) / "test_scores.npy"
    try:
        scores = np.load(file, allow_pickle=False)
    except Exception as error:  # damaged files raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{file}: cannot be read as scores: {reason}") from None
    if not isinstance(scores, np.ndarray) or scores.ndim != 1 or scores.dtype.kind != "f" or not scores.size:
        raise ValueError(f"{file}: damaged: expected a list of floating-point numbers")
    return scores


def read_config(path: str | Path) -> dict:
    """The configuration of a workdir, complete with `LATER_FIELDS`.

    Raises ValueError if the folder is none or its config.json is damaged.
    """
    file = Path(path) / "config.json"
    if not file.exists():
        raise ValueError(f"workdir {path}: no config.json there: expected the folder of a training run")
    return complete(_parse(file.read_bytes(), str(file)))


def _parse(content: bytes, source: str, *fields: str) -> dict:
    """A JSON object that has at least these fields. Raises ValueError, naming the source, for anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source}: damaged: {error}") from None
    if not isinstance(found, dict) or not set(fields) <= set(found):
        raise ValueError(f"{source}: damaged: expected an object with {', '.join(fields) or 'fields and values'}")
    return found
