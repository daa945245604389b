"""From a configuration, any mapping with the fields below, to the objects that train and evaluate it.

    learner, base          names; options: the learner's own hyper-parameters
    hidden, filters        widths of the base-learner: of `mlp`, of `conv4` and of the first block of `resnet12`
    transformer            of the base-learner `vit`: width of tokens, blocks, heads, patch (pixels square)
    data                   sine, glyphs, a prepared set, an .npz pack or a folder of images
    image_size             pixels square (None: as the set is)
    rotations, augment     quarter turns as extra classes; flip, crop, colour: random changes; in meta-training only
    seed                   of meta-training
    way, shot, train_shot, query, test_query
    passes, eval_passes    T in meta-training and at validation and test
    meta_batch, learning_rate, outer_clip
    skip_nonfinite         leave out and count meta-gradients that are not finite, instead of ending the run
    tasks_at_once          tasks of a meta-batch vectorised together (None: all, or one where that is faster on a CPU)
    train_tasks, validate_every, log_every, validation_tasks, test_tasks, patience_tasks
    norm                   normalisation mode of the base-learner (`layer` for vit, which has layer norm alone)
    precision              float32, or bfloat16 for the convolutions of conv4
"""

import functools
import numbers
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from oplstm_jax import learners
from oplstm_jax.data import Augment, ImageSet, Pool, load, make_sampler, sine, split_classes
from oplstm_jax.losses import accuracy, cross_entropy, mean_squared_error
from oplstm_jax.nets.conv4 import Conv4
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.norm import check_mode
from oplstm_jax.nets.resnet12 import ResNet12
from oplstm_jax.nets.transformer import VisionTransformer
from oplstm_jax.problem import Problem, Settings
from oplstm_jax.task_lists import task_list_digest
from oplstm_jax.types import Learner, Sampler

POSITIVE = (
    "way shot train_shot query test_query meta_batch train_tasks validate_every log_every "
    "validation_tasks test_tasks"
).split()
NOT_NEGATIVE = "seed passes eval_passes patience_tasks".split()
LARGEST = 2**31  # steps are counted, and sizes indexed, with 32 bits
SINE_CHANCE = 4.2517  # E[A^2] / 2: the mean squared error of predicting 0 everywhere
BASES = ("mlp", "conv4", "resnet12", "vit", "none")
CONVOLUTIONAL = ("conv4", "resnet12")
PRECISIONS = ("float32", "bfloat16")


def build_settings(config: Mapping[str, Any]) -> Settings:
    """How long and how meta-training goes. Raises ValueError for a number out of range or no number."""
    check_numbers(config)
    settings = Settings(**{name: config[name] for name in Settings._fields})
    at_once, meta_batch = settings.tasks_at_once, settings.meta_batch
    if at_once is None and jax.default_backend() == "cpu" and _fills_the_cache(config):
        return settings._replace(tasks_at_once=1)
    if at_once is not None and (at_once < 1 or meta_batch % at_once):
        raise ValueError(f"tasks_at_once is {at_once}: expected a divisor of meta_batch, {meta_batch}")
    return settings


def _fills_the_cache(config: Mapping[str, Any]) -> bool:
    """Whether a CPU works faster on one task after another: feature maps, or own weights for pixels, are large."""
    return config["base"] in CONVOLUTIONAL or (config["learner"] == "maml" and config["data"] != "sine")


def check_numbers(config: Mapping[str, Any]) -> None:
    """Raises ValueError for a field that is out of range or of another type than it must be."""
    rate = config["learning_rate"]
    if not _is_number(rate, numbers.Real) or rate <= 0:
        raise ValueError(f"learning_rate is {rate!r}: expected a number above 0")
    for name in POSITIVE:
        if not _is_number(config[name], numbers.Integral) or not 0 < config[name] < LARGEST:
            raise ValueError(f"{name} is {config[name]!r}: expected a number above 0, whole and below {LARGEST}")
    for name in NOT_NEGATIVE:
        if not _is_number(config[name], numbers.Integral) or not 0 <= config[name] < LARGEST:
            raise ValueError(f"{name} is {config[name]!r}: expected a whole number, 0 or more and below {LARGEST}")
    clip = config["outer_clip"]
    if clip is not None and not (_is_number(clip, numbers.Real) and clip > 0):
        raise ValueError(f"outer_clip is {clip!r}: expected None or a number above 0")
    if config["tasks_at_once"] is not None and not _is_number(config["tasks_at_once"], numbers.Integral):
        raise ValueError(f"tasks_at_once is {config['tasks_at_once']!r}: expected None or a whole number")
    for name in ("rotations", "skip_nonfinite"):
        if not isinstance(config[name], bool):
            raise ValueError(f"{name} is {config[name]!r}: expected True or False")


def _is_width(value: Any) -> bool:
    return _is_number(value, numbers.Integral) and 0 < value < LARGEST


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and abs(value) < float("inf")


def build_problem(config: Mapping[str, Any]) -> Problem:
    """Learners, losses and samplers. Raises ValueError for unknown names and impossible combinations."""
    check_mode(config["norm"])
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
    loss = mean_squared_error if regression else cross_entropy
    if not isinstance(config["options"], Mapping):
        raise ValueError(f"options is {config['options']!r}: expected names and values")
    options = dict(config["options"])
    if config["learner"] == "finetune" and not regression and "classes" not in options:
        options["classes"] = training_classes(config)
    return learners.make(config["learner"], build_base(config), loss, passes, options)


def training_classes(config: Mapping[str, Any]) -> int:
    """How many classes there are in meta-training, quarter turns as further ones where those are asked for."""
    classes = int((_images(config["data"], config["image_size"]).class_split == 0).sum())
    return classes * (4 if config["rotations"] else 1)


def build_sampler(config: Mapping[str, Any], split: str) -> Sampler:
    """key -> Episode of the training, validation or test tasks. Raises ValueError for impossible tasks or no data."""
    shot = config["train_shot"] if split == "train" else config["shot"]
    query = config["test_query"] if split == "test" else config["query"]
    if config["data"] == "sine":
        return jax.tree_util.Partial(functools.partial(sine.sample_episode, shot=shot, query=query))
    training = split == "train"
    return make_sampler(
        _pool(config, split),
        config["way"],
        shot,
        query,
        rotations=config["rotations"] and training,
        augment=_augment(config["augment"]) if training else Augment(),
        all_classes=config["learner"] == "finetune" and training,
    )


def list_of_test_tasks(config: Mapping[str, Any]) -> str:
    """Digest of the list of test tasks: equal for all learners, seeds and machines tested on the same tasks."""
    sizes = {name: config[name] for name in ("way", "shot", "test_query")}
    source = "sine" if config["data"] == "sine" else _images(config["data"], config["image_size"]).digest
    return task_list_digest("test", config["test_tasks"], source, sizes)


def _augment(fields: Mapping[str, Any]) -> Augment:
    if not isinstance(fields, Mapping) or not set(fields) <= set(Augment._fields):
        raise ValueError(f"augment is {fields!r}: expected the fields {', '.join(Augment._fields)}")
    return Augment(**fields)


def _pool(config: Mapping[str, Any], split: str) -> Pool:
    return split_classes(_images(config["data"], config["image_size"]), split)


def _images(data: str, image_size: int | None) -> ImageSet:
    if not isinstance(data, str) or "\0" in data:
        raise ValueError(f"data is {data!r}: expected sine, the name of a data set or a path")
    if image_size is not None and not _is_number(image_size, numbers.Integral):
        raise ValueError(f"image_size is {image_size!r}: expected None or a whole number of pixels")
    return _loaded(data, image_size)


@functools.lru_cache(maxsize=2)
def _loaded(data: str, image_size: int | None) -> ImageSet:
    return load(data, image_size)


def build_base(config: Mapping[str, Any]) -> nn.Module | None:
    """The base-learner, None for raw inputs. Raises ValueError for an unknown name or impossible widths."""
    if config["base"] not in BASES:
        raise ValueError(f"unknown base {config['base']!r}: expected one of {', '.join(BASES)}")
    if config["precision"] not in PRECISIONS:
        raise ValueError(f"unknown precision {config['precision']!r}: expected one of {', '.join(PRECISIONS)}")
    if config["precision"] != "float32" and config["base"] != "conv4":
        raise ValueError(f"precision is {config['precision']}: base {config['base']} only has float32, conv4 has both")
    if config["base"] == "none":
        return None
    outputs = 1 if config["data"] == "sine" else config["way"]
    if config["base"] == "conv4":
        return Conv4(config["filters"], outputs, config["norm"], precision=config["precision"])
    if config["base"] == "resnet12":
        return ResNet12(config["filters"], outputs, config["norm"])
    if config["base"] == "vit":
        return _transformer(config["transformer"], outputs, config["norm"])
    hidden = config["hidden"]
    if not isinstance(hidden, (tuple, list)) or not hidden or not all(map(_is_width, hidden)):
        raise ValueError(f"hidden is {hidden}: expected one or more positive widths")
    hidden = tuple(hidden)
    return MLP(hidden, outputs, config["norm"], zero_hidden_biases=config["data"] == "sine")


def _transformer(sizes: Any, outputs: int, norm: str) -> VisionTransformer:
    names = ("width", "blocks", "heads", "patch")
    if not isinstance(sizes, Mapping) or set(sizes) != set(names) or not all(map(_is_width, sizes.values())):
        raise ValueError(f"transformer is {sizes!r}: expected positive numbers for {', '.join(names)}")
    if norm != "layer":
        raise ValueError(f"norm is {norm}: base vit normalises every token by itself: expected layer")
    return VisionTransformer(**sizes, outputs=outputs)
