"""Measurements on the zoo's networks: closeness to gradient descent, MAML and prototypes, and tangent kernels."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.configs import omniglot, sine
from experiments.finding import Finding
from oplstm_jax import build, figures, zoo
from oplstm_jax.analysis.closeness import change, make_closeness, make_resemblance
from oplstm_jax.analysis.passes import make_scores_by_pass
from oplstm_jax.analysis.tangent import Tangent, make_tangent
from oplstm_jax.analysis.updates import compare, over_list
from oplstm_jax.evaluate import task_keys
from oplstm_jax.losses import accuracy, cross_entropy, mean_squared_error
from oplstm_jax.statistics import Estimate, estimate
from oplstm_jax.types import Learner, Params, Sampler

SINE = tuple(f"sine-{shot}shot-op_lstm" for shot in (5, 10, 20))
IMAGES = tuple(f"omniglot-mlp-5way{shot}shot-op_lstm" for shot in (1, 5))
DESCENTS = {"gradient step": 1, "100 gradient steps": 100}


class Trained(NamedTuple):
    """An entry of the zoo with what is needed to measure it. unlearned: the learner made with no passes."""

    config: dict[str, Any]
    learner: Learner
    unlearned: Learner
    params: Params
    sample: Sampler


def load(name: str, **changes: Any) -> Trained:
    """An entry; changes: fields of its configuration, for the tasks alone."""
    config, (learner, params) = zoo.card(name)["config"], zoo.load(name)
    sample = build.build_sampler({**config, **changes}, "test")
    return Trained(config, learner, build.build_learner(config, 0), params, sample)


def closeness(to: Path, tasks: int) -> Finding:
    """Updates of OP-LSTM in the zoo against gradient steps, and on sine against what the trained MAML does."""
    rows, panels = [], {}
    for name in (*SINE, *IMAGES):
        found = _closeness(name, tasks)
        maml = _against_maml(name, tasks) if name in SINE else (None, None)
        totals = (found.total_cosine, found.total_ratio, found.change_cosine)
        passes = [estimate(values) for values in found.pass_cosine.T]
        rows.append((name, passes[0], passes[-1], *map(estimate, totals), *maml))
        panels[name] = {"each pass, by pass": list(enumerate(passes, 1)), "in all, by layer": _layers(found)}
        print(rows[-1], file=sys.stderr, flush=True)
    figures.lines(to / "figure.png", panels, "pass, or layer from the input up", "cosine with gradient descent")
    heads = (
        "entry",
        "cosine with a gradient step: first pass",
        "last pass",
        "total update",
        "its norm / gradient descent's",
        "change of outputs",
        "trained MAML: cosine of kernels' updates",
        "of changes of outputs",
    )
    return Finding("Updates of OP-LSTM beside gradient descent and MAML", heads, rows, _about(tasks, _STEPS))


def resemblance(to: Path, tasks: int) -> Finding:
    """Whether the classifier that OP-LSTM learns is more like a fine-tuned network or like prototypes."""
    rows: list[tuple] = []
    panels: dict[str, dict[str, list]] = {name: {} for name in DESCENTS}
    for name in IMAGES:
        entry = load(name)
        for label, steps in DESCENTS.items():
            measure = make_resemblance(*entry[1:3], build.build_base(entry.config), cross_entropy, steps, _step(entry))
            found = type(r := _measured(entry, measure, tasks))(*map(estimate, r))
            rows.append((f"{name}, {label}", *found))
            points = {"gradient descent": found.gradient_agreement, "prototypes": found.prototype_agreement}
            for other, agreement in points.items():
                panels[label].setdefault(other, []).append((entry.config["shot"], agreement))
            print(rows[-1], file=sys.stderr, flush=True)
    figures.lines(to / "figure.png", panels, "shots", "share of queries given the same class")
    heads = (
        "entry, gradient descent",
        "same class as gradient descent",
        "as prototypes",
        "cosine of outputs with gradient descent",
        "with prototypes",
        "accuracy of OP-LSTM",
        "of gradient descent",
        "of prototypes",
    )
    return Finding("What OP-LSTM resembles after learning a task", heads, rows, _about(tasks, _STEPS))


def tangent(to: Path, tasks: int) -> Finding:
    """Tangent kernels before and after learning, of OP-LSTM and, on sine, of MAML."""
    names = [entry for name in SINE for entry in (name, _maml(name))] + list(IMAGES)
    rows: list[tuple] = []
    panels: dict[str, dict[str, list]] = {"OP-LSTM, sine": {}, "MAML, sine": {}, "OP-LSTM, Omniglot": {}}
    for name in names:
        entry = load(name, **({} if name.startswith("sine") else {"test_query": 3}))
        measured = _measured(entry, make_tangent(*entry[1:3]), tasks, tasks_at_once=1)
        found = Tangent(*map(estimate, measured))
        rows.append((name, *found))
        panel = "MAML, sine" if "maml" in name else "OP-LSTM, sine" if name in SINE else "OP-LSTM, Omniglot"
        for label, alignment in (("before", found.before), ("after", found.after)):
            panels[panel].setdefault(label, []).append((entry.config["shot"], alignment))
        print(rows[-1], file=sys.stderr, flush=True)
    figures.lines(to / "figure.png", panels, "shots", "alignment with the targets")
    heads = ("entry", "alignment before", "after", "cosine of the two kernels", "norm after / before")
    about = _about(tasks, "3 queries per class on Omniglot, 50 on sine; Jacobian of all parameters of the network.")
    return Finding("Tangent kernels before and after learning a task", heads, rows, about)


def passes(to: Path, tasks: int) -> Finding:
    """Scores after every pass, up to more passes than the entries were trained with."""
    rows: list[tuple] = []
    panels: dict[str, dict[str, list]] = {"sine": {}, "Omniglot": {}}
    for name in (*SINE, *IMAGES):
        entry, (most, score) = load(name), (27, mean_squared_error) if name in SINE else (9, accuracy)
        learner = build.build_learner(entry.config, most)
        found = _measured(entry, make_scores_by_pass(learner, entry.unlearned, score), tasks)
        scores = [estimate(values) for values in found.T]
        shown = (scores[number] if number <= most else None for number in PASSES)
        rows.append((name, entry.config["passes"], *shown))
        panels["sine" if name in SINE else "Omniglot"][name] = list(enumerate(scores))
        print(rows[-1], file=sys.stderr, flush=True)
    figures.lines(to / "figure.png", panels, "passes", "mean squared error, or accuracy", log=True)
    heads = ("entry", "trained with", *(f"after {number}" for number in PASSES))
    return Finding(
        "OP-LSTM by pass, and with more passes than it was trained with", heads, rows, _about(tasks, _SCORES)
    )


PASSES = (0, 1, 2, 3, 5, 9, 12, 18, 27)
_SCORES = "Mean squared error on sine, accuracy on Omniglot, on the query set after so many passes."
_STEPS = (
    f"Gradient descent of all kernels in steps of MAML's size ({sine.OPTIONS['maml']['inner_lr']:.4g} on sine, "
    f"{omniglot.OPTIONS['maml']['inner_lr']} on Omniglot) from OP-LSTM's own start, in as many steps as passes where "
    f"not said."
)


def _about(tasks: int, text: str) -> str:
    return f"{text} Mean and 95 % interval over {tasks} test tasks of one trained run (the zoo's entry)."


def _closeness(name: str, tasks: int):
    entry = load(name)
    loss = mean_squared_error if name in SINE else cross_entropy
    return _measured(entry, make_closeness(*entry[1:3], loss, _step(entry)), tasks)


def _against_maml(name: str, tasks: int) -> tuple[Estimate, Estimate]:
    """Cosines of OP-LSTM's and the trained MAML's kernel updates, and changes of outputs, each from its own start."""
    ours, theirs = load(name), load(_maml(name))

    def both(params, episode):
        mine, other = (change(*e[1:3], p, episode) for e, p in zip((ours, theirs), params, strict=True))
        return compare(mine.kernels, other.kernels)[0], compare(mine.outputs, other.outputs)[0]

    found = over_list(both)((ours.params, theirs.params), task_keys("test", tasks), ours.sample)
    return estimate(found[0]), estimate(found[1])


def _measured(entry: Trained, measure: Callable, tasks: int, tasks_at_once: int | None = None):
    found = over_list(measure, tasks_at_once)(entry.params, task_keys("test", tasks), entry.sample)
    return jax.tree.map(np.asarray, found)


def _layers(found) -> list[tuple[int, Estimate]]:
    return list(enumerate(map(estimate, found.layer_cosine.T), 1))


def _step(entry: Trained) -> float:
    configs = sine if entry.config["data"] == "sine" else omniglot
    return configs.OPTIONS["maml"]["inner_lr"]


def _maml(name: str) -> str:
    return name.replace("op_lstm", "maml")
