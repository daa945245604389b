"""Entries of the zoo with their tasks, as the measurements of `experiments.analyse` take them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.configs import omniglot, sine
from oplstm_jax import build, zoo
from oplstm_jax.analysis.updates import over_list
from oplstm_jax.evaluate import task_keys
from oplstm_jax.losses import cross_entropy, mean_squared_error
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.types import Learner, Loss, Params, Sampler

SINE = tuple(f"sine-{shot}shot-op_lstm" for shot in (5, 10, 20))
IMAGES = tuple(f"omniglot-mlp-5way{shot}shot-op_lstm" for shot in (1, 5))


class Trained(NamedTuple):
    """An entry with what is needed to measure it.

    unlearned: the learner made with no passes. base, loss: its network and what it learns tasks by. step_size: of
    MAML's gradient steps on the same data.
    """

    config: dict[str, Any]
    learner: Learner
    unlearned: Learner
    params: Params
    sample: Sampler
    base: MLP
    loss: Loss
    step_size: float


def load(name: str, **changes: Any) -> Trained:
    """An entry; changes: fields of its configuration, for the tasks alone. Raises ValueError for one without an MLP."""
    config, (learner, params) = zoo.card(name)["config"], zoo.load(name)
    sample = build.build_sampler({**config, **changes}, "test")
    regression, base = config["data"] == "sine", build.build_base(config)
    if not isinstance(base, MLP):
        raise ValueError(f"{name}: base is {config['base']!r}, expected mlp")
    step_size = maml_step(sine if regression else omniglot)
    loss = mean_squared_error if regression else cross_entropy
    return Trained(config, learner, build.build_learner(config, 0), params, sample, base, loss, step_size)


def maml_step(configs: Any) -> float:
    """The size of MAML's gradient steps in a file of configurations."""
    return configs.OPTIONS["maml"]["inner_lr"]


def measured(entry: Trained, measure: Callable, tasks: int, tasks_at_once: int | None = None):
    """What a function (params, episode) measures on the first test tasks, as NumPy arrays with a leading n."""
    found = over_list(measure, tasks_at_once)(entry.params, task_keys("test", tasks), entry.sample)
    return jax.tree.map(np.asarray, found)


def about(tasks: int, text: str) -> str:
    """What a table says of its numbers."""
    return f"{text} Mean and 95 % interval over {tasks} test tasks of one trained run (the zoo's entry)."
