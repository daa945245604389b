"""Similarity of learned updates with gradient descent and prototypes, while a run trains and when it is tested."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from oplstm_jax import bases, build
from oplstm_jax.analysis.closeness import make_network_similarity
from oplstm_jax.analysis.updates import Similarity, make_similarity, over_list
from oplstm_jax.evaluate import task_keys
from oplstm_jax.losses import cross_entropy
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.records import read_config, read_result
from oplstm_jax.statistics import estimate
from oplstm_jax.trained import load_trained
from oplstm_jax.types import Episode, Params

PROBE_TASKS = 100  # of the validation list, at every validation
METRICS = {name: "cosine" if name.endswith("cosine") else "ratio" for name in Similarity._fields}


def probe(config: dict[str, Any], step_size: float) -> Callable[[Params], dict[str, float]]:
    """params -> fields of metrics.jsonl: the mean of every `Similarity` and its 95 % interval over validation tasks."""
    measure, sample = _measure(config, step_size), build.build_sampler(config, "validation")
    count = min(PROBE_TASKS, config["validation_tasks"])

    def measured(params: Params) -> dict[str, float]:
        fields: dict[str, float] = {}
        for name, values in measure(params, task_keys("validation", count), sample)._asdict().items():
            found = estimate(values)
            fields |= {name: found.mean, f"{name}_interval": found.interval}
        return fields

    return measured


def measure_run(folder: Path, step_size: float) -> dict[str, tuple[dict[str, Any], np.ndarray]]:
    """Every `Similarity` of a finished run on its test tasks: name -> (result, values [n])."""
    sample = build.build_sampler(read_config(folder), "test")
    config, _, params = load_trained(folder, jax.eval_shape(sample, jax.random.key(0)))
    found = _measure(config, step_size)(params, task_keys("test", config["test_tasks"]), sample)
    trained = read_result(folder) or {}
    return {
        name: (_result(trained, METRICS[name], values, step_size), np.asarray(values))
        for name, values in found._asdict().items()
    }


def _result(trained: dict[str, Any], metric: str, values: np.ndarray, step_size: float) -> dict[str, Any]:
    found = estimate(values)
    about = {"metric": metric, "gradient_step": step_size, "test_tasks": found.count}
    return {**trained, **about, "score": found.mean, "interval": found.interval}


def _measure(config: dict[str, Any], step_size: float) -> Callable:
    return over_list(_similarity(config, step_size), build.build_settings(config).tasks_at_once)


def _similarity(config: dict[str, Any], step_size: float) -> Callable[[Params, Episode], Similarity]:
    """Of every layer for `op_lstm`, of the last for `op_lstm_head`. Raises ValueError where there is no such layer."""
    passes = config["eval_passes"]
    learner, base = build.build_learner(config, passes), bases.build_base(config)
    if base is None:
        raise ValueError("updates are compared on features: base is 'none', expected a network such as 'conv4'")
    if config["data"] == "sine":
        raise ValueError("updates are compared with prototypes: data is sine, expected images, which have classes")
    if config["learner"] == "op_lstm" and isinstance(base, MLP):
        return make_network_similarity(learner, build.build_learner(config, 0), base, cross_entropy, step_size)
    return make_similarity(learner, base.clone(outputs=None), passes, step_size)
