"""The files in the folder of a run as they are read, and written whole (`workdir.py` says what they are)."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oplstm_jax.files import atomic, write_text

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
CONFIG = ("learner", "base", "hidden", "options", "data", "norm", "seed", "way", "shot")  # of an experiment, among more
RESULT = ("score", "interval", "config", "metric", "params_sha256")  # what every result.json has, among more


def entries(texts: Iterable[object]) -> list[str]:
    """What texts such as "one machine; another" name, each once, in order."""
    return list(dict.fromkeys(entry for text in texts for entry in str(text).split("; ")))


def config_text(config: Mapping[str, Any]) -> str:
    """What config.json holds. Raises ValueError for values that JSON has no words for."""
    try:
        return json.dumps(config, indent=1, sort_keys=True)
    except TypeError as error:
        raise ValueError(f"config: {error}: expected numbers, texts, lists and mappings of these") from None


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
    lines = read_lines(file, "step", "tasks")
    for number, line in enumerate(lines, 1):
        for name, found in line.items():
            if isinstance(found, bool) or not isinstance(found, (int, float)):
                raise ValueError(f"{file}: line {number}: damaged: {name} is {found!r}: expected a number")
    return lines


def read_lines(file: Path, *fields: str) -> list[dict]:
    """The lines of a .jsonl file, objects that have these fields; a last one that was cut short is left out."""
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [_parse(line, f"{file}: line {number}", *fields) for number, line in enumerate(lines, 1)]


def write_lines(file: Path, lines: Iterable[dict]) -> None:
    """Replaces a .jsonl file by these lines, whole or not at all."""
    write_text(file, "".join(json.dumps(line) + "\n" for line in lines))


def own_seconds(result: dict[str, Any]) -> float:
    """A run's share of the wall time of the programs that trained it, alone or with other seeds."""
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


def read_config(path: str | Path, *fields: str) -> dict:
    """The configuration of a workdir, complete with `LATER_FIELDS`.

    fields: that it must have, such as CONFIG where a learner is to be built from it; the loop itself trains with any.

    Raises ValueError if the folder is none, or its config.json is damaged or lacks a field.
    """
    file = Path(path) / "config.json"
    if not file.exists():
        runs = sorted(found.parent.name for found in Path(path).glob("*/config.json"))
        ending = f", such as {runs[0]} in it" if runs else ""
        raise ValueError(f"workdir {path}: no config.json there: expected the folder of a training run{ending}")
    found = complete(_parse(file.read_bytes(), str(file)))
    if missing := [name for name in fields if name not in found]:
        expected = f"the configuration of an experiment, with {', '.join(fields)}"
        raise ValueError(f"{file}: no {missing[0]}: expected {expected}")
    return found


def _parse(content: bytes, source: str, *fields: str) -> dict:
    """A JSON object that has at least these fields. Raises ValueError, naming the source, for anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source}: damaged: {error}") from None
    if not isinstance(found, dict) or not set(fields) <= set(found):
        raise ValueError(f"{source}: damaged: expected an object with {', '.join(fields) or 'fields and values'}")
    return found
