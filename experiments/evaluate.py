"""Evaluates a trained run on the fixed list of test tasks, also under other conditions.

    python -m experiments.evaluate --workdir=runs/sine [--passes=20 --shot=10 --test_tasks=5000 --norm=support]

Prints one line and, with --json=FILE, writes the same as JSON. Nothing in the workdir changes.
"""

import json
from pathlib import Path

import jax
import numpy as np
from absl import flags

from experiments import cli
from experiments.run import describe, facts
from oplstm_jax import build, params
from oplstm_jax.evaluate import make_evaluate, task_keys
from oplstm_jax.statistics import estimate
from oplstm_jax.workdir import read_config, read_result, write_text

flags.DEFINE_string("workdir", None, "Folder of a finished training run.")
flags.DEFINE_string("json", None, "Also write the result to this file.")
flags.DEFINE_integer("passes", None, "Passes over the support set (the run's eval_passes if not given).")
flags.DEFINE_integer("shot", None, "Support examples per class (the run's if not given).")
flags.DEFINE_integer("test_query", None, "Query examples per class (the run's if not given).")
flags.DEFINE_integer("test_tasks", None, "Number of test tasks (the run's if not given).")
flags.DEFINE_string("norm", None, "Normalisation mode (the run's if not given).")

CHANGES = {"passes": "eval_passes", "shot": "shot", "test_query": "test_query", "test_tasks": "test_tasks", "norm": "norm"}


def main() -> None:
    workdir = Path(cli.required("workdir"))
    config = read_config(workdir)
    for flag, field in CHANGES.items():
        if (value := flags.FLAGS[flag].value) is not None:
            config[field] = value
    build.build_settings(config)
    problem = build.build_problem(config)
    sample = problem.sampler("test")
    like = jax.eval_shape(lambda key: problem.learner.init(key, sample(key)), jax.random.key(0))
    if not (workdir / "params.npz").exists():
        raise ValueError(f"workdir {workdir}: no params.npz: the run is not finished; give its training command again")
    weights = params.load(workdir / "params.npz", like)
    evaluate = make_evaluate(problem.eval_learner, problem.score)
    tested = estimate(np.asarray(evaluate(weights, task_keys("test", config["test_tasks"]), sample)))
    trained = read_result(workdir) or {}
    result = {
        **{name: config[name] for name in ("learner", "seed", "norm", "test_query", "data", "way", "shot", "eval_passes")},
        "metric": problem.metric,
        "score": tested.mean,
        "interval": tested.interval,
        "test_tasks": tested.count,
        "wall_seconds": trained.get("wall_seconds", 0.0),
        "params_sha256": params.sha256(weights),
        **facts(),
    }
    print(describe(result))
    if flags.FLAGS.json:
        write_text(Path(flags.FLAGS.json), json.dumps(result, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    cli.run(main)
