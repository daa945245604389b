"""Measures how much trained learners depend on the order of a support set.

    python -m experiments.orderings --to=results/beyond/orderings [--entries=sine-5shot-lstm,sine-5shot-maml]
        [--workdirs=runs/order/drift/lstm-10shot-seed0] [--tasks=200 --orders=20]

Every test task is learned in many random orders of its support set; entries of the zoo are measured, and finished runs
if their folders are given. Writes table.md, table.json and figure.png.
"""

import sys
from pathlib import Path

import jax
import numpy as np
from absl import flags

from experiments import cli
from experiments.finding import Finding, destination, write_finding
from oplstm_jax import build, figures_beyond, zoo
from oplstm_jax.analysis.orderings import Orderings, make_orderings
from oplstm_jax.analysis.updates import over_list
from oplstm_jax.evaluate import task_keys
from oplstm_jax.records import CONFIG, read_config
from oplstm_jax.statistics import estimate
from oplstm_jax.trained import load_trained
from oplstm_jax.types import Learner, Params

LEARNERS = ("lstm", "pi_lstm", "op_lstm", "maml")

flags.DEFINE_string("to", None, "Folder of the finding; made if it is not there.")
flags.DEFINE_list("entries", [f"sine-{k}shot-{name}" for k in (5, 10) for name in LEARNERS], "Entries of the zoo.")
flags.DEFINE_list("workdirs", [], "Finished runs to be measured too.")
flags.DEFINE_integer("tasks", 200, "Test tasks of each.", lower_bound=2)
flags.DEFINE_integer("orders", 20, "Random orders of each support set.", lower_bound=2)

HEADS = (
    "learner",
    "score",
    "its standard deviation over orders",
    "worst order",
    "spread of predictions",
    "share of the squared error that is order",
    "score of the mean over orders",
)


def main() -> None:
    if not [*flags.FLAGS.entries, *flags.FLAGS.workdirs]:
        raise ValueError("nothing to measure: expected --entries or --workdirs")
    to = destination()
    entries = {name: (zoo.card(name)["config"], *zoo.load(name)) for name in flags.FLAGS.entries}
    runs = {folder: _trained(folder) for folder in flags.FLAGS.workdirs}
    to.mkdir(parents=True, exist_ok=True)
    measured: dict[str, Orderings] = {}
    for name, entry in entries.items():
        measured[name] = _measure(*entry)
        print(name, *(f"{np.mean(values):.4g}" for values in measured[name]), file=sys.stderr, flush=True)
    for folder, run in runs.items():
        short = "/".join(Path(folder).parts[-2:])
        measured[folder if short in measured else short] = _measure(*run)
    rows: list[tuple] = [(name, *map(estimate, map(np.asarray, found))) for name, found in measured.items()]
    relative = {name: np.asarray(found.score_spread / found.score) for name, found in measured.items()}
    figures_beyond.spreads(to / "figure.png", relative)
    about = (
        f"{flags.FLAGS.orders} random orders of each of {flags.FLAGS.tasks} support sets; mean and 95 % interval over "
        "tasks of one trained run each. Scores are mean squared errors on sine, drift and trajectory, else accuracies."
    )
    print(write_finding(Finding("The same support set in many orders", HEADS, rows, about), to))


def _measure(config: dict, learner: Learner, params: Params) -> Orderings:
    problem = build.build_problem(config)
    measure = over_list(make_orderings(learner, problem.score, flags.FLAGS.orders, problem.metric == "mse"))
    found = measure(params, task_keys("test", flags.FLAGS.tasks), problem.sampler("test"))
    return jax.tree.map(lambda a: np.asarray(a, np.float64), found)


def _trained(folder: str) -> tuple[dict, Learner, Params]:
    shapes = jax.eval_shape(build.build_sampler(read_config(folder, *CONFIG), "test"), jax.random.key(0))
    return load_trained(folder, shapes)


if __name__ == "__main__":
    cli.run(main)
