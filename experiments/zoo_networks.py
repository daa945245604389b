"""Networks of the zoo as tasks are learned: `analyse tangent` and `analyse passes`."""

import sys
from pathlib import Path

from experiments.finding import Finding
from experiments.zoo_entries import IMAGES, SINE, about, load, measured
from oplstm_jax import build, figures_beyond
from oplstm_jax.analysis.passes import make_scores_by_pass
from oplstm_jax.analysis.tangent import make_tangent
from oplstm_jax.losses import accuracy, mean_squared_error
from oplstm_jax.statistics import Estimate, estimate

PASSES = (0, 1, 2, 3, 5, 9, 12, 18, 27)
MOST = {"sine": 27, "omniglot": 9}  # passes that entries are followed for
QUERIES = {"sine": {}, "omniglot": {"test_query": 3}}  # of the Jacobian, for memory
TANGENT = "3 queries per class on Omniglot, 50 on sine; Jacobian of all parameters of the network."
SCORES = "Mean squared error on sine, accuracy on Omniglot, on the query set after so many passes."


def tangent(to: Path, tasks: int) -> Finding:
    """Tangent kernels before and after learning, of OP-LSTM and, on sine, of MAML."""
    rows: list[tuple] = []
    panels: dict[str, dict[str, list]] = {"OP-LSTM, sine": {}, "MAML, sine": {}, "OP-LSTM, Omniglot": {}}
    for name in (*SINE, *(name.replace("op_lstm", "maml") for name in SINE), *IMAGES):
        entry = load(name, **QUERIES[name.split("-")[0]])
        values = measured(entry, make_tangent(entry.learner, entry.unlearned), tasks, tasks_at_once=1)
        before, after, *others = map(estimate, values)
        rows.append((name, before, after, *others))
        panel = "OP-LSTM, Omniglot" if name in IMAGES else "MAML, sine" if "maml" in name else "OP-LSTM, sine"
        for label, alignment in (("before", before), ("after", after)):
            panels[panel].setdefault(label, []).append((entry.config["shot"], alignment))
        print(rows[-1], file=sys.stderr, flush=True)
    figures_beyond.lines(to / "figure.png", panels, "shots", "alignment with the targets")
    heads = ("entry", "alignment before", "after", "cosine of the two kernels", "norm after / before")
    return Finding("Tangent kernels before and after learning a task", heads, rows, about(tasks, TANGENT))


def passes(to: Path, tasks: int) -> Finding:
    """Scores after every pass, up to more passes than the entries were trained with."""
    rows: list[tuple] = []
    panels: dict[str, dict[str, list[tuple[float, Estimate]]]] = {"mean squared error": {}, "accuracy": {}}
    for name in (*SINE, *IMAGES):
        entry, most = load(name), MOST[name.split("-")[0]]
        label, score = ("mean squared error", mean_squared_error) if name in SINE else ("accuracy", accuracy)
        learner = build.build_learner(entry.config, most)
        found = measured(entry, make_scores_by_pass(learner, entry.unlearned, score), tasks)
        scores = [estimate(values) for values in found.T]
        shown = (scores[number] if number <= most else None for number in PASSES)
        rows.append((name, entry.config["passes"], *shown))
        panels[label][name] = list(enumerate(scores))
        print(rows[-1], file=sys.stderr, flush=True)
    figures_beyond.lines(to / "figure.png", panels, "passes", "on the query set", log=True)
    heads = ("entry", "trained with", *(f"after {number}" for number in PASSES))
    return Finding("OP-LSTM by pass, and with more passes than it was trained with", heads, rows, about(tasks, SCORES))
