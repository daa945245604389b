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
    sizes: ways, shots and the like, all that the sampler is told.
    """
    about = json.dumps([split, source, sizes], sort_keys=True).encode()
    keys = np.asarray(jax.random.key_data(task_keys(split, count)), "<u4")
    return hashlib.sha256(about + keys.tobytes()).hexdigest()
