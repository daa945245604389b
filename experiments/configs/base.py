"""What all configurations share: the fields, and how the text after the colon fills them."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict

from experiments.overrides import assign, split
from oplstm_jax.hints import hint

# What every table of images should show: knowing nothing, a network trained on the support set alone, and a classifier
# of all training classes whose last layer is trained anew. Passes are steps of Adam on the support set.
NOTHING_TO_TRAIN = {"train_tasks": 1, "validate_every": 1, "log_every": 1, "validation_tasks": 1}
FLOORS = {
    "finetune": {"learning_rate": 1e-3, "meta_batch": 4, "passes": 100, "train_tasks": 40_000, "validate_every": 4_000},
    "scratch": {"passes": 100, **NOTHING_TO_TRAIN},
    "random": {"passes": 0, **NOTHING_TO_TRAIN},
}
FLOOR_OPTIONS = {
    "finetune": {"learning_rate": 1e-2, "optimiser": "adam"},
    "scratch": {"learning_rate": 1e-3, "optimiser": "adam"},
    "random": {},
}


def base_config() -> ConfigDict:
    """All fields with neutral values; `oplstm_jax.build` says what they mean."""
    config = ConfigDict()
    config.learner, config.base, config.data, config.norm = "", "mlp", "", "none"
    config.seed, config.num_seeds = 0, 1
    config.way, config.shot, config.query, config.test_query = 5, 1, 15, 15
    config.train_shot = config.get_ref("shot").identity()  # follows `shot` until it is set itself
    config.passes = 1
    config.eval_passes = config.get_ref("passes").identity()
    config.meta_batch, config.learning_rate = 1, 1e-3
    config.optimiser = "adam"
    config.outer_clip, config.tasks_at_once = config_dict.placeholder(float), config_dict.placeholder(int)
    config.final_learning_rate = config_dict.placeholder(float)
    config.skip_nonfinite = False
    config.train_tasks, config.validate_every, config.log_every = 1, 1, 1
    config.validation_tasks, config.test_tasks, config.patience_tasks = 600, 600, 0
    config.hidden, config.filters, config.precision = (), 64, "float32"
    config.transformer = ConfigDict({"width": 64, "blocks": 2, "heads": 4, "patch": 7})
    config.position, config.features_from = False, config_dict.placeholder(str)
    config.image_size, config.rotations = config_dict.placeholder(int), False
    config.augment = ConfigDict({"flip": False, "crop": 0, "colour": 0.0})
    config.options = ConfigDict()
    return config


def configure(config: ConfigDict, argument: str, learners: Mapping[str, Any], options: Mapping[str, Any]) -> ConfigDict:
    """Fills in one learner's settings and then the fields of "learner,field=value,...", and locks the result.

    Raises ValueError for a learner that has no settings here, and as `assign` does.
    """
    name, *assignments = split(argument)
    if name not in learners:
        raise ValueError(f"unknown learner {name!r}: expected one of {', '.join(learners)}{hint(name, learners)}")
    config.learner = name
    config.update(learners[name])
    config.options = ConfigDict({option: _settable(value) for option, value in options[name].items()})
    config.lock()
    return assign(config, assignments)


def _settable(value: Any) -> Any:
    """None as something that takes a number later."""
    return config_dict.placeholder(float) if value is None else value
