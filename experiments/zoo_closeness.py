"""OP-LSTM in the zoo beside gradient descent, MAML and prototypes: `analyse closeness` and `analyse resemblance`."""

import sys
from pathlib import Path

from experiments.configs import omniglot, sine
from experiments.finding import Finding
from experiments.zoo_entries import IMAGES, SINE, about, load, maml_step, measured
from oplstm_jax import figures_beyond
from oplstm_jax.analysis.closeness import change, make_closeness, make_resemblance
from oplstm_jax.analysis.updates import compare
from oplstm_jax.statistics import Estimate, estimate

DESCENTS = {"gradient step": 1, "100 gradient steps": 100}
STEPS = (
    f"Gradient descent of all kernels in steps of MAML's size ({maml_step(sine):.4g} on sine, "
    f"{maml_step(omniglot)} on Omniglot) from OP-LSTM's own start, in as many steps as passes where "
    f"not said."
)
CLOSENESS = (
    "entry",
    "cosine with a gradient step: first pass",
    "last pass",
    "total update",
    "of the output layer",
    "of hidden layers, from the input up",
    "its norm / gradient descent's",
    "change of outputs",
    "trained MAML: cosine of kernels' updates",
    "of changes of outputs",
)
RESEMBLANCE = (
    "entry, gradient descent",
    "same class as gradient descent",
    "as prototypes",
    "cosine of outputs with gradient descent",
    "with prototypes",
    "accuracy of OP-LSTM",
    "of gradient descent",
    "of prototypes",
)


def closeness(to: Path, tasks: int) -> Finding:
    """Updates of OP-LSTM in the zoo against gradient steps, and on sine against what the trained MAML does."""
    rows, panels = [], {}
    for name in (*SINE, *IMAGES):
        entry = load(name)
        found = measured(entry, make_closeness(entry.learner, entry.unlearned, entry.loss, entry.step_size), tasks)
        maml = _against_maml(name, tasks) if name in SINE else (None, None)
        others = (estimate(found.total_ratio), estimate(found.change_cosine))
        passes, layers = ([estimate(v) for v in values.T] for values in (found.pass_cosine, found.layer_cosine))
        hidden = " ".join(f"{layer.mean:.3f}" for layer in layers[:-1])
        rows.append((name, passes[0], passes[-1], estimate(found.total_cosine), layers[-1], hidden, *others, *maml))
        panels[name] = {
            "each pass, by pass": list(enumerate(passes, 1)),
            "in all, by layer": list(enumerate(layers, 1)),
        }
        print(rows[-1], file=sys.stderr, flush=True)
    figures_beyond.lines(to / "figure.png", panels, "pass, or layer from the input up", "cosine with gradient descent")
    return Finding("Updates of OP-LSTM beside gradient descent and MAML", CLOSENESS, rows, about(tasks, STEPS))


def resemblance(to: Path, tasks: int) -> Finding:
    """Whether the classifier that OP-LSTM learns is more like a fine-tuned network or like prototypes."""
    rows: list[tuple] = []
    panels: dict[str, dict[str, list]] = {label: {"gradient descent": [], "prototypes": []} for label in DESCENTS}
    for name in IMAGES:
        entry = load(name)
        for label, steps in DESCENTS.items():
            args = (entry.learner, entry.unlearned, entry.base, entry.loss, steps, entry.step_size)
            found = [estimate(values) for values in measured(entry, make_resemblance(*args), tasks)]
            rows.append((f"{name}, {label}", *found))
            for other, agreement in zip(panels[label].values(), found[:2], strict=True):
                other.append((entry.config["shot"], agreement))
            print(rows[-1], file=sys.stderr, flush=True)
    figures_beyond.lines(to / "figure.png", panels, "shots", "share of queries given the same class")
    return Finding("What OP-LSTM resembles after learning a task", RESEMBLANCE, rows, about(tasks, STEPS))


def _against_maml(name: str, tasks: int) -> tuple[Estimate, Estimate]:
    """Cosines of OP-LSTM's and the trained MAML's kernel updates, and changes of outputs, each from its own start."""
    ours, theirs = load(name), load(name.replace("op_lstm", "maml"))

    def both(params, episode):
        mine = change(ours.learner, ours.unlearned, params[0], episode)
        other = change(theirs.learner, theirs.unlearned, params[1], episode)
        return compare(mine.kernels, other.kernels)[0], compare(mine.outputs, other.outputs)[0]

    found = measured(ours._replace(params=(ours.params, theirs.params)), both, tasks)
    return estimate(found[0]), estimate(found[1])
