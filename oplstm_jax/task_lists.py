"""A digest of the list of tasks behind a score: equal digests, equal tasks."""

import hashlib
import json
from typing import Any

import jax
import numpy as np

from oplstm_jax.evaluate import task_keys


def task_list_digest(split: str, count: int, source: str, sizes: dict[str, Any]) -> str:
    """SHA-256, in hexadecimal, of the keys of a fixed list of tasks and of what they are drawn from.

    split, count: see `oplstm_jax.evaluate.task_keys`. source: the digest of the images, or the name of generated tasks.
    sizes: ways, shots and the like, all that the sampler is told. Settings of JAX under which the same keys draw other
    tasks (x64 mode, another random generator) count too where they are not its defaults.
    """
    about = json.dumps([split, source, sizes, *_settings()], sort_keys=True).encode()
    keys = np.asarray(jax.random.key_data(task_keys(split, count)), "<u4")
    return hashlib.sha256(about + keys.tobytes()).hexdigest()


def _settings() -> list[dict[str, Any]]:
    """What JAX is set to that changes what keys draw, if anything is not as it is by default."""
    defaults = {"jax_enable_x64": False, "jax_threefry_partitionable": True, "jax_default_prng_impl": "threefry2x32"}
    changed = {name: jax.config.values[name] for name, value in defaults.items() if jax.config.values[name] != value}
    return [changed] if changed else []
