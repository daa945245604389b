"""Trained learners by name: `learner, params = load("sine-5shot-op_lstm")`.

Every entry is a card, NAME.json, which says what was trained on what, with which command, and how well it does, and
its parameters, NAME.npz in float32. Entries whose parameters are too large have a card alone, which says so.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax import bases, build, params
from oplstm_jax.hints import hint
from oplstm_jax.records import complete
from oplstm_jax.types import Episode, Learner, Params, Split

FOLDER = Path(__file__).parent


class Entry(NamedTuple):
    """A learner, made for the number of passes it was tested with, and its meta-trained parameters."""

    learner: Learner
    params: Params


def names(folder: Path = FOLDER) -> list[str]:
    """The names of all entries, those without parameters included."""
    return sorted(file.stem for file in folder.glob("*.json"))


def card(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """What is known of an entry. Raises ValueError for an unknown name, with the nearest known one.

    score, interval, metric, test_tasks, test_query, norm: the test of the run, and `tests` its other tests alike.
    config, seed, data, date, commit, hardware, command: where it comes from; seeds: among how many it validated best.
    input_shape of one example; bytes of NAME.npz and params_sha256; left_out: why there is no such file, else None.
    """
    if name not in names(folder):
        near = hint(name, names(folder))
        raise ValueError(f"unknown entry {name!r}{near}; expected one of {', '.join(names(folder))}")
    found = json.loads((folder / f"{name}.json").read_text())
    return {**found, "config": complete(found["config"])}


def load(name: str, folder: Path = FOLDER, passes: int | None = None) -> Entry:
    """(learner, params) of an entry. Raises ValueError for an unknown name and for an entry without parameters.

    passes: T of the learner, None for as many as the entry was tested with (`card(name)["config"]` also has those it
    was trained with). To train it further: `meta.init_state(learner, optimiser, key, episode, params)`.
    """
    about = card(name, folder)
    if about["left_out"]:
        raise ValueError(f"{name}: {about['left_out']}; train it: {about['command']}")
    config = about["config"]
    learner = build.build_learner(config, config["eval_passes"] if passes is None else passes)
    like = jax.eval_shape(learner.init, jax.random.key(0), _shapes(about))
    weights = params.load(folder / f"{name}.npz", like)
    if params.sha256(weights) != about["params_sha256"]:
        raise ValueError(f"{folder / name}.npz: damaged: its digest is not the one on the card")
    return Entry(learner, weights)


def _shapes(about: dict[str, Any]) -> Episode:
    """Shapes of one task such as the entry was trained for."""
    config = about["config"]
    def split(examples: int) -> Split:
        shapes = (examples, *about["input_shape"]), (examples, bases.outputs(config))
        return jax.eval_shape(lambda: Split(*(jnp.zeros(shape, jnp.float32) for shape in shapes)))

    return Episode(split(config["way"] * config["shot"]), split(config["way"] * config["query"]))
