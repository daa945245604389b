"""Data that are formulas rather than images: each name with its sampler, kind of targets and chance."""

from collections.abc import Callable
from typing import NamedTuple

from oplstm_jax.data import sequences, sine
from oplstm_jax.types import Episode

SINE_CHANCE = 4.2517  # E[A^2] / 2: the mean squared error of predicting 0 everywhere


class Family(NamedTuple):
    """sample: (key, way, shot, query, position) -> Episode; families without ways or places ignore these.

    outputs: of the base-learner, None for as many as ways, which makes it a classification.
    chance: mean squared error of predicting 0, None for 1 / way. is_sequence: whether examples have a place in time.
    """

    sample: Callable[..., Episode]
    outputs: int | None
    chance: float | None
    is_sequence: bool = True


FAMILIES = {
    "sine": Family(lambda key, way, shot, query, _: sine.sample_episode(key, shot, query), 1, SINE_CHANCE, False),
    "trajectory": Family(
        lambda key, way, *sizes: sequences.sample_trajectory(key, *sizes), 2, sequences.TRAJECTORY_CHANCE
    ),
    "drift": Family(lambda key, way, *sizes: sequences.sample_drift(key, *sizes), 1, sequences.DRIFT_CHANCE),
    "latest": Family(sequences.sample_latest, None, None),
}


def family_of(data: object) -> Family | None:
    """The family called `data`, None for anything else."""
    return FAMILIES.get(data) if isinstance(data, str) else None
