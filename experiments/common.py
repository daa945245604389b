"""What features of untrained base-learners have in common: what `analyse common` measures."""

import sys
from pathlib import Path

import jax
import numpy as np

from experiments.configs import base_learners
from experiments.finding import Finding
from oplstm_jax import build, figures_beyond
from oplstm_jax.analysis.common import make_common_share
from oplstm_jax.analysis.updates import over_list
from oplstm_jax.bases import build_base
from oplstm_jax.evaluate import task_keys
from oplstm_jax.statistics import Estimate, estimate

SHOTS = (1, 2, 5, 10)


def common(to: Path, seeds: int, tasks: int) -> Finding:
    """The share of every base-learner by the number of shots, drawn as figure.png too."""
    lines: dict[str, list[tuple[float, Estimate]]] = {}
    for base, fields in base_learners.BASES.items():
        lines[base] = [(shot, estimate(_shares(fields, shot, seeds, tasks))) for shot in SHOTS]
        print(base, *(found.mean for _, found in lines[base]), file=sys.stderr, flush=True)
    figures_beyond.lines(to / "figure.png", {"before training": lines}, "shots", "share that is common")
    about = (
        f"Squared norm of the mean feature of a support set over the mean squared norm of its features, in 5-way tasks "
        f"of glyphs; mean and 95 % interval over {tasks} test tasks of each of {seeds} networks before training."
    )
    heads = ("base-learner", *(f"{shot}-shot" for shot in SHOTS))
    rows = [(base, *(found for _, found in points)) for base, points in lines.items()]
    return Finding("What all examples of a task have in common, before training", heads, rows, about)


def _shares(fields: dict, shot: int, seeds: int, tasks: int) -> np.ndarray:
    config = base_learners.get_config(f"op_lstm_head,shot={shot},test_query=1").to_dict() | fields
    base, sample = build_base(config), build.build_sampler(config, "test")
    assert base is not None
    features = base.clone(outputs=None)
    x = sample(jax.random.key(0)).support.x
    measure = over_list(make_common_share(features), build.build_settings(config).tasks_at_once)
    init = jax.jit(features.init)
    networks = [{"features": init(jax.random.key(seed), x)["params"]} for seed in range(seeds)]
    return np.concatenate([measure(params, task_keys("test", tasks), sample) for params in networks])
