"""From a configuration, any mapping with the fields below, to the objects that train and evaluate it.

    learner, base, data    names; options: the learner's own hyper-parameters, hidden: widths of the base-learner
    seed                   of meta-training
    way, shot, train_shot, query, test_query
    passes, eval_passes    T in meta-training and at validation and test
    meta_batch, learning_rate, outer_clip
    train_tasks, validate_every, log_every, validation_tasks, test_tasks, patience_tasks
    norm                   normalisation mode of the base-learner
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from oplstm_jax import learners
from oplstm_jax.data import sine
from oplstm_jax.losses import accuracy, cross_entropy, mean_squared_error
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.norm import check_mode
from oplstm_jax.train import Problem, Settings
from oplstm_jax.types import Array, Episode, Learner

POSITIVE = (
    "way shot train_shot query test_query meta_batch learning_rate train_tasks validate_every log_every "
    "validation_tasks test_tasks"
).split()
NOT_NEGATIVE = "seed passes eval_passes patience_tasks".split()
SINE_CHANCE = 4.2517  # E[A^2] / 2: the mean squared error of predicting 0 everywhere
BASES = ("mlp", "none")
DATA = ("sine",)


def build_settings(config: Mapping[str, Any]) -> Settings:
    """How long and how meta-training goes. Raises ValueError for a number out of range."""
    for name in POSITIVE:
        if not config[name] > 0:
            raise ValueError(f"{name} is {config[name]}: expected a number above 0")
    for name in NOT_NEGATIVE:
        if not config[name] >= 0:
            raise ValueError(f"{name} is {config[name]}: expected 0 or more")
    return Settings(**{name: config[name] for name in Settings._fields})


def build_problem(config: Mapping[str, Any]) -> Problem:
    """Learners, losses and samplers. Raises ValueError for unknown names and impossible combinations."""
    check_mode(config["norm"])
    if config["data"] not in DATA:
        raise ValueError(f"unknown data {config['data']!r}: expected one of {', '.join(DATA)}")
    regression = config["data"] == "sine"
    loss = mean_squared_error if regression else cross_entropy
    return Problem(
        learner=build_learner(config, config["passes"]),
        eval_learner=build_learner(config, config["eval_passes"]),
        loss=loss,
        score=mean_squared_error if regression else accuracy,
        metric="mse" if regression else "accuracy",
        chance=SINE_CHANCE if regression else 1 / config["way"],
        sampler=functools.partial(build_sampler, config),
    )


def build_learner(config: Mapping[str, Any], passes: int) -> Learner:
    """The learner with the given number of passes. Raises ValueError for unknown names or options."""
    regression = config["data"] == "sine"
    outputs = 1 if regression else config["way"]
    loss = mean_squared_error if regression else cross_entropy
    return learners.make(config["learner"], _base(config, outputs), loss, passes, dict(config["options"]))


def build_sampler(config: Mapping[str, Any], split: str) -> Callable[[Array], Episode]:
    """key -> Episode of the training, validation or test tasks."""
    shot = config["train_shot"] if split == "train" else config["shot"]
    query = config["test_query"] if split == "test" else config["query"]
    return functools.partial(sine.sample_episode, shot=shot, query=query)


def _base(config: Mapping[str, Any], outputs: int) -> MLP | None:
    if config["base"] not in BASES:
        raise ValueError(f"unknown base {config['base']!r}: expected one of {', '.join(BASES)}")
    if config["base"] == "none":
        return None
    hidden = tuple(config["hidden"])
    if not hidden or min(hidden) < 1:
        raise ValueError(f"hidden is {hidden}: expected one or more positive widths")
    return MLP(hidden, outputs, config["norm"], zero_hidden_biases=config["data"] == "sine")
