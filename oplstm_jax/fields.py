"""Fields of a configuration that are numbers or switches, checked before anything is built from them."""

import numbers
from collections.abc import Mapping
from typing import Any

POSITIVE = (
    "way shot train_shot query test_query meta_batch train_tasks validate_every log_every "
    "validation_tasks test_tasks"
).split()
NOT_NEGATIVE = "seed passes eval_passes patience_tasks".split()
OPTIMISERS = ("adam", "muon")  # of meta-training
LARGEST = 2**31  # steps are counted, and sizes indexed, with 32 bits


def check_numbers(config: Mapping[str, Any]) -> None:
    """Raises ValueError for a field that is out of range or of another type than it must be."""
    check_settings(config)
    if config["optimiser"] not in OPTIMISERS:
        raise ValueError(f"optimiser is {config['optimiser']!r}: expected {' or '.join(OPTIMISERS)}")
    for name in ("rotations", "skip_nonfinite", "position"):
        if not isinstance(config[name], bool):
            raise ValueError(f"{name} is {config[name]!r}: expected True or False")


def check_settings(config: Mapping[str, Any]) -> None:
    """The same of how long and how meta-training goes, and of those sizes that are there."""
    rate = config["learning_rate"]
    if not is_number(rate, numbers.Real) or rate <= 0:
        raise ValueError(f"learning_rate is {rate!r}: expected a number above 0")
    for name in [name for name in POSITIVE if name in config]:
        if not is_number(config[name], numbers.Integral) or not 0 < config[name] < LARGEST:
            raise ValueError(f"{name} is {config[name]!r}: expected a number above 0, whole and below {LARGEST}")
    for name in [name for name in NOT_NEGATIVE if name in config]:
        if not is_number(config[name], numbers.Integral) or not 0 <= config[name] < LARGEST:
            raise ValueError(f"{name} is {config[name]!r}: expected a whole number, 0 or more and below {LARGEST}")
    clip, final = config["outer_clip"], config["final_learning_rate"]
    if clip is not None and not (is_number(clip, numbers.Real) and clip > 0):
        raise ValueError(f"outer_clip is {clip!r}: expected None or a number above 0")
    if final is not None and not (is_number(final, numbers.Real) and final >= 0):
        raise ValueError(f"final_learning_rate is {final!r}: expected None or a number not below 0")
    at_once, meta_batch = config["tasks_at_once"], config["meta_batch"]
    if at_once is not None and not is_number(at_once, numbers.Integral):
        raise ValueError(f"tasks_at_once is {at_once!r}: expected None or a whole number")
    if at_once is not None and (at_once < 1 or meta_batch % at_once):
        raise ValueError(f"tasks_at_once is {at_once}: expected a divisor of meta_batch, {meta_batch}")


def is_width(value: Any) -> bool:
    """Whether a value is a positive whole number that fits 32 bits."""
    return is_number(value, numbers.Integral) and 0 < value < LARGEST


def is_mapping(value: Any) -> bool:
    """Whether a value has names and values: a mapping, or a ConfigDict, which is not registered as one."""
    return hasattr(value, "keys") and hasattr(value, "__getitem__")


def is_number(value: Any, kind: Any) -> bool:
    """Whether a value is a finite number of a kind such as numbers.Real, and not True or False."""
    return isinstance(value, kind) and not isinstance(value, bool) and abs(value) < float("inf")
