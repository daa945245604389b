"""Puts the best finished run of every learner and number of shots into the zoo of trained learners.

    python -m experiments.publish_zoo --workdir=runs/sine [--to=oplstm_jax/zoo] [--largest=2000000]
        [--learners=op_lstm] [--suffix=_best]

Of the seeds of a configuration the one with the best validation score goes in, as NAME.npz and its card NAME.json;
parameters of more than --largest bytes are left out and the card says so (of these the run need not have kept them).
"""

import datetime
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments import cli
from experiments.merge import find_runs
from oplstm_jax import build, params, zoo
from oplstm_jax.files import write_text
from oplstm_jax.origin import portable
from oplstm_jax.problem import LARGER_IS_BETTER
from oplstm_jax.records import CONFIG, read_config, read_result
from oplstm_jax.report import UNTRAINED, read_run
from oplstm_jax.trained import load_trained
from oplstm_jax.types import Episode

FIRST = 100  # scores of so many test tasks are on the card
TEST = ("score", "interval", "test_tasks", "test_query", "norm")
ORIGIN = (
    "metric learner seed command commit hardware versions wall_seconds best_step validation_score params_sha256"
).split()


def main() -> None:
    root, target = Path(cli.required("workdir")), Path(flags.FLAGS.to)
    found = {run: read_result(root / run) for run in find_runs(root)}
    cells: dict[str, list[Path]] = {}
    for run, result in found.items():
        if result is not None and result["learner"] not in UNTRAINED and _asked_for(result["learner"]):
            cells.setdefault(entry_name(read_config(root / run, *CONFIG)) + flags.FLAGS.suffix, []).append(root / run)
    if not cells:
        raise ValueError(f"workdir {root}: no finished runs there, as experiments.reproduce leaves them")
    for name, runs in cells.items():
        _check_seeds(name, runs)
    target.mkdir(parents=True, exist_ok=True)
    for name, runs in sorted(cells.items()):
        card = publish(name, runs, target, flags.FLAGS.largest)
        print(f"{name}: {card['left_out'] or str(card['bytes']) + ' bytes'}")


def _check_seeds(name: str, runs: list[Path]) -> None:
    """Raises ValueError if the runs of an entry differ in more than their seeds."""
    configs = [{**read_config(run), "seed": None} for run in runs]
    for run, config in zip(runs, configs, strict=True):
        if config != configs[0]:
            differ = f"{runs[0]} and {run} differ in more than their seeds"
            raise ValueError(f"{name}: {differ}: expected runs of one configuration; give --workdir of one of them")


def _asked_for(learner: str) -> bool:
    return not flags.FLAGS.learners or learner in flags.FLAGS.learners


def entry_name(config: dict[str, Any]) -> str:
    """Such as sine-5shot-op_lstm or omniglot-mlp-5way1shot-op_lstm."""
    shots = f"{config['shot']}shot-{config['learner']}"
    if config["data"] == "sine":
        return f"sine-{shots}"
    base = "pixels" if config["base"] == "none" else config["base"]
    without_norm = "-no_norm" * (config["norm"] == "none" and config["base"] != "none")
    return f"{Path(config['data']).stem}-{base}{without_norm}-{config['way']}way{shots}"


def publish(name: str, runs: list[Path], target: Path, largest: int) -> dict[str, Any]:
    """Writes an entry of the zoo from the best validated of runs that differ in their seeds; returns its card.

    Raises ValueError if that run has no parameters, unless they would be left out as too large.
    """
    results = [read_result(run) or {} for run in runs]
    sign = 1 if LARGER_IS_BETTER[results[0]["metric"]] else -1
    best = runs[int(np.argmax([sign * result["validation_score"] for result in results]))]
    origin, shapes = _origin(best)
    card, file = {**_card(best), **origin, "seeds": len(runs), "name": name}, target / f"{name}.npz"
    if (size := _size(origin["config"], shapes)) <= largest or (best / "params.npz").exists():
        weights = jax.tree.map(lambda a: a.astype("float32"), load_trained(best, shapes).params)
        params.save(file, weights)
        card["params_sha256"], size = params.sha256(weights), file.stat().st_size
    left_out = f"parameters of {size / 1e6:.1f} MB are left out, above {largest / 1e6:.1f} MB"
    card |= {"bytes": size, "left_out": left_out if size > largest else None}
    if card["left_out"]:
        file.unlink(missing_ok=True)
    write_text(target / f"{name}.json", json.dumps(card, indent=1, sort_keys=True) + "\n")
    return card


def _size(config: dict[str, Any], shapes: Episode) -> int:
    """Bytes of the parameters of a run in float32."""
    learner = build.build_learner(config, 1)
    like = jax.eval_shape(learner.init, jax.random.key(0), shapes)
    return sum(4 * leaf.size for leaf in jax.tree.leaves(like))


def _origin(run: Path) -> tuple[dict[str, Any], Episode]:
    """(config, data, input_shape) of a run, and its tasks' shapes; what a learner took from its data is an option."""
    config = read_config(run)
    shapes = jax.eval_shape(build.build_sampler({**config, "learner": ""}, "test"), jax.random.key(0))
    if config["learner"] == "finetune":
        config["options"] = {**config["options"], "classes": build.training_classes(config)}
    data = config["data"] = Path(config["data"]).stem
    return {"config": config, "data": data, "input_shape": list(shapes.support.x.shape[1:])}, shapes


def _card(run: Path) -> dict[str, Any]:
    result, scores = read_run(run) or ({}, [])
    date = datetime.datetime.fromtimestamp((run / "result.json").stat().st_mtime, datetime.UTC).date().isoformat()
    others = {folder.parent.name: read_result(folder.parent) or {} for folder in sorted(run.glob("*/result.json"))}
    return {
        **{field: result[field] for field in (*TEST, *ORIGIN)},
        "command": " ".join(map(portable, result["command"].split(" "))),
        "tests": {name: {field: other[field] for field in TEST} for name, other in others.items()},
        "first_scores": [float(score) for score in scores[:FIRST]],
        "date": result.get("date", date),
    }


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Folder of a table.")
    flags.DEFINE_string("to", str(zoo.FOLDER), "Folder of the entries.")
    flags.DEFINE_integer("largest", 2_000_000, "Bytes up to which parameters are kept.")
    flags.DEFINE_list("learners", None, "Only these learners.")
    flags.DEFINE_string("suffix", "", "Ending of the names, such as _best for other settings than the authors'.")
    cli.run(main)
