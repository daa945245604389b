"""From a configuration, any mapping or ConfigDict with the fields below, to the objects that train and evaluate it.

    learner, base          names; options: the learner's own hyper-parameters
    hidden, filters        widths of the base-learner: of `mlp`, of `conv4` and of the first block of `resnet12`
    transformer            of the base-learner `vit`: width of tokens, blocks, heads, patch (pixels square)
    features_from          workdir of a finished ProtoNet run whose features the learner has, frozen (None: its own)
    data                   sine, trajectory, drift, latest, glyphs, a prepared set, an .npz pack or a folder of images
    position               append its place in time to every input (trajectory, drift and latest only)
    image_size             pixels square (None: as the set is)
    rotations, augment     quarter turns as extra classes; flip, crop, colour: random changes; in meta-training only
    seed, num_seeds        of meta-training; runs that are trained in one program, with seeds that follow one another
    way, shot, train_shot  classes of a task, examples of each in its support set, and in meta-training (as shot)
    query, test_query      queries of a class in meta-training and validation, and at test
    passes, eval_passes    T in meta-training and at validation and test
    meta_batch             tasks of a meta-step
    learning_rate          of meta-training; outer_clip: bound on every entry of the meta-gradient (None: no bound)
    optimiser              of meta-training: adam, or muon for large matrices and adam for the rest
    final_learning_rate    where a cosine takes the learning rate by the end of meta-training (None: it is constant)
    skip_nonfinite         leave out and count meta-gradients that are not finite, instead of ending the run
    tasks_at_once          tasks of a meta-batch vectorised together (None: all, or one where that is faster)
    train_tasks            of meta-training; validate_every, log_every: after so many tasks
    validation_tasks       of every validation, and test_tasks, once
    patience_tasks         after so many a run that is still at chance says so, and goes on
    norm                   normalisation mode of the base-learner (vit: `layer` for layer norm alone)
    precision              float32, or bfloat16 for the convolutions of conv4
"""

import functools
import itertools
import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from oplstm_jax import learners, params
from oplstm_jax.bases import CONVOLUTIONAL, build_base
from oplstm_jax.data import Augment, ImageSet, Pool, load, make_sampler, split_classes
from oplstm_jax.data.families import FAMILIES, family_of
from oplstm_jax.fields import check_numbers, is_mapping, is_number
from oplstm_jax.files import read_arrays
from oplstm_jax.learners.fast_weights import prefer_factors
from oplstm_jax.learners.frozen_features import frozen_features
from oplstm_jax.losses import accuracy, cross_entropy, mean_squared_error
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.norm import check_mode
from oplstm_jax.problem import Problem, Settings
from oplstm_jax.task_lists import task_list_digest
from oplstm_jax.types import Learner, Params, Sampler

GRADIENT_LEARNERS = ("maml", "sap", "warp_maml")  # which adapt all layers, convolutions too
PIXELS = 28 * 28  # of Omniglot and glyphs; where there are more, factors are smaller yet
LARGE = 84  # pixels; measured at 28, where vectorising is faster, and at 84


def build_settings(config: Mapping[str, Any]) -> Settings:
    """How long and how meta-training goes. Raises ValueError for a number out of range or no number."""
    check_numbers(config)
    settings = Settings(**{name: config[name] for name in Settings._fields})
    return settings._replace(tasks_at_once=1) if settings.tasks_at_once is None and _one_by_one(config) else settings


def _one_by_one(config: Mapping[str, Any]) -> bool:
    """Whether one task after another is faster than all of a meta-batch together, by `benchmarks/README.md`.

    On a CPU where feature maps, or weights of each task for pixels, fill its cache; on a GPU for convolutions of each
    task on large images, which are grouped convolutions if vectorised.
    """
    if jax.default_backend() == "cpu":
        return config["base"] in CONVOLUTIONAL or (config["learner"] == "maml" and _forms_large_kernels(config))
    adapts = config["learner"] in GRADIENT_LEARNERS and config["base"] in CONVOLUTIONAL
    return jax.default_backend() == "gpu" and adapts and (config["image_size"] or 0) >= LARGE


def _forms_large_kernels(config: Mapping[str, Any]) -> bool:
    """Whether MAML has kernels of every task for pixels, rather than factors of what it changes in them."""
    base, options = build_base(config), config["options"]
    if config["data"] == "sine":
        return False
    if not isinstance(base, MLP) or (is_mapping(options) and options.get("clip") is not None):
        return True
    rows = config["passes"] * config["way"] * (config["train_shot"] or config["shot"])
    widths = (PIXELS, *base.hidden, config["way"])
    return not prefer_factors(list(itertools.pairwise(widths)), rows)


def build_problem(config: Mapping[str, Any]) -> Problem:
    """Learners, losses and samplers. Raises ValueError for unknown names and impossible combinations."""
    check_numbers(config)
    check_mode(config["norm"])
    regression = is_regression(config)
    return Problem(
        learner=build_learner(config, config["passes"]),
        eval_learner=build_learner(config, config["eval_passes"]),
        loss=mean_squared_error if regression else cross_entropy,
        score=mean_squared_error if regression else accuracy,
        metric="mse" if regression else "accuracy",
        chance=chance(config),
        sampler=functools.partial(build_sampler, config),
    )


def is_regression(config: Mapping[str, Any]) -> bool:
    """Whether targets are real values, scored by their mean squared error."""
    family = family_of(config["data"])
    return family is not None and family.outputs is not None


def chance(config: Mapping[str, Any]) -> float:
    """The score of knowing nothing."""
    family = family_of(config["data"])
    return (family and family.chance) or 1 / config["way"]


def build_learner(config: Mapping[str, Any], passes: int) -> Learner:
    """The learner with the given number of passes. Raises ValueError for unknown names or options."""
    regression = is_regression(config)
    loss = mean_squared_error if regression else cross_entropy
    if not is_mapping(config["options"]):
        raise ValueError(f"options is {config['options']!r}: expected names and values")
    options = dict(config["options"])
    if config["learner"] == "finetune" and not regression and "classes" not in options:
        options["classes"] = training_classes(config)
    learner = learners.make(config["learner"], build_base(config), loss, passes, options)
    return learner if config["features_from"] is None else frozen_features(learner, _trained_features(config, learner))


def _trained_features(config: Mapping[str, Any], learner: Learner) -> Params:
    """The features of another run, where they fit the learner's own. Raises ValueError if there are none that do."""
    folder = config["features_from"]
    if not isinstance(folder, str):
        raise ValueError(f"features_from is {folder!r}: expected None or the folder of a finished ProtoNet run")
    if not (Path(folder) / "params.npz").exists():
        raise ValueError(f"features_from {folder}: no params.npz: expected the folder of a finished ProtoNet run")
    own = param_shapes(learner, build_sampler(config, "train"))
    return params.load(Path(folder) / "params.npz", {"features": own.get("features", {})})["features"]


def param_shapes(learner: Learner, sample: Sampler) -> Params:
    """Shapes of a learner's meta-parameters. Raises ValueError for a network that does not fit the tasks drawn."""
    return jax.eval_shape(learner.init, jax.random.key(0), jax.eval_shape(sample, jax.random.key(0)))


def features_digest(config: Mapping[str, Any]) -> str | None:
    """Digest of the parameters of the run whose features the learner has, None if it has its own."""
    folder = config["features_from"]
    return None if folder is None else params.sha256(read_arrays(Path(folder) / "params.npz", "parameters"))


def training_classes(config: Mapping[str, Any]) -> int:
    """How many classes there are in meta-training, quarter turns as further ones where those are asked for."""
    classes = int((_images(config["data"], config["image_size"]).class_split == 0).sum())
    return classes * (4 if config["rotations"] else 1)


def build_sampler(config: Mapping[str, Any], split: str) -> Sampler:
    """key -> Episode of the training, validation or test tasks. Raises ValueError for impossible tasks or no data."""
    shot = config["train_shot"] if split == "train" else config["shot"]
    query = config["test_query"] if split == "test" else config["query"]
    family = family_of(config["data"])
    if config["position"] and not (family and family.is_sequence):
        raise ValueError(f"position is True, but the examples of {config['data']} have no place in time")
    augments = is_mapping(config["augment"]) and any(config["augment"].values())
    if family and (config["rotations"] or config["image_size"] or augments):
        raise ValueError(f"rotations, image_size and augment are for images: {config['data']} has none")
    if family and family.outputs is not None and config["way"] != 1:
        raise ValueError(f"way is {config['way']}: tasks of {config['data']} have no classes: expected 1")
    if family:
        return jax.tree_util.Partial(lambda key: family.sample(key, config["way"], shot, query, config["position"]))
    pool, training = _pool(config, split), split == "train"
    try:
        return make_sampler(
            pool,
            config["way"],
            shot,
            query,
            rotations=config["rotations"] and training,
            augment=_augment(config["augment"]) if training else Augment(),
            all_classes=config["learner"] == "finetune" and training,
        )
    except ValueError as error:
        raise ValueError(f"{split} tasks of {config['data']}: {error}") from None


def list_of_test_tasks(config: Mapping[str, Any]) -> str:
    """Digest of the list of test tasks: equal for all learners, seeds and machines tested on the same tasks."""
    data, sizes = config["data"], {name: config[name] for name in ("way", "shot", "test_query")}
    sizes |= {"position": True} if config["position"] else {}
    source = data if family_of(data) else _images(data, config["image_size"]).digest
    return task_list_digest("test", config["test_tasks"], source, sizes)


def _augment(fields: Mapping[str, Any]) -> Augment:
    if not is_mapping(fields) or not set(fields) <= set(Augment._fields):
        raise ValueError(f"augment is {fields!r}: expected the fields {', '.join(Augment._fields)}")
    return Augment(**fields)


def _pool(config: Mapping[str, Any], split: str) -> Pool:
    return split_classes(_images(config["data"], config["image_size"]), split)


def _images(data: str, image_size: int | None) -> ImageSet:
    if not isinstance(data, str) or "\0" in data:
        raise ValueError(f"data is {data!r}: expected {', '.join(FAMILIES)}, the name of a data set or a path")
    if image_size is not None and not is_number(image_size, numbers.Integral):
        raise ValueError(f"image_size is {image_size!r}: expected None or a whole number of pixels")
    return _loaded(data, image_size)


@functools.lru_cache(maxsize=2)
def _loaded(data: str, image_size: int | None) -> ImageSet:
    return load(data, image_size)
