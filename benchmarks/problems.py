"""What is measured: every learner on every problem, with the authors' settings, and the least work each must do."""

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.configs import natural, omniglot, omniglot_conv4, sine
from oplstm_jax import build
from oplstm_jax.nets.conv import conv3x3
from oplstm_jax.nets.lstm import init_stack, stack_step
from oplstm_jax.types import Array


class Workload(NamedTuple):
    """get_config: of its configuration file. shot: support examples per class. fields: what else differs from it."""

    get_config: Callable[[str], Any]
    shot: int
    fields: dict[str, Any]

    def config(self, learner: str) -> dict[str, Any]:
        """The configuration of one learner as plain values."""
        plain = json.loads(self.get_config(f"{learner},shot={self.shot}").to_json_best_effort())
        return {**plain, **self.fields}


def workloads() -> dict[str, Workload]:
    """All problems by name. Images are glyphs, or noise where glyphs do not fit: speed does not depend on them."""
    glyphs = {"data": "glyphs"}
    found = {f"sine_{shot}shot": Workload(sine.get_config, shot, {}) for shot in (5, 10, 20)}
    for shot in (1, 5):
        found[f"omniglot_mlp_{shot}shot"] = Workload(omniglot.get_config, shot, glyphs)
        found[f"omniglot_conv4_{shot}shot"] = Workload(omniglot_conv4.get_config, shot, glyphs)
        found[f"images84_{shot}shot"] = Workload(natural.get_config, shot, {"data": "noise84"})
    return found


def configured(problem: str, learner: str, meta_batch: int | None, changes: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a learner on a problem with other fields or options, its data ready.

    meta_batch: None for the authors'.
    """
    known = workloads()[problem].config(learner)
    config = {**known, **changes, "options": {**known["options"], **changes.get("options", {})}}
    config["meta_batch"] = meta_batch or config["meta_batch"]
    if config["data"] == "noise84":
        config["data"] = noise_pack(Path(noise_folder().name))
    return config


def noise_pack(folder: Path) -> str:
    """Writes a pack of random 84x84 colour images, 20 classes of 40, and returns its path."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (800, 84, 84, 3), np.uint8)
    names = np.array([f"class{i}" for i in range(20)])
    split = np.repeat([0, 1, 2], [8, 6, 6])
    np.savez(folder / "noise84.npz", images=images, labels=np.repeat(np.arange(20), 40), class_names=names, class_split=split)
    return str(folder / "noise84.npz")


@functools.cache
def noise_folder() -> tempfile.TemporaryDirectory:
    """A folder for `noise_pack` that goes when the process does."""
    return tempfile.TemporaryDirectory()


def least_work(config: dict[str, Any], shape: tuple[int, ...], tasks: int = 1) -> Callable[[Array], Array]:
    """A function key -> number whose evaluation is the bare arithmetic of tasks: products and gate functions only.

    Forward and backward, sizes as the learner's, weights shared, nothing in between: no sampling, normalisation,
    pooling, optimiser or dependence of a pass on the one before. shape: of one input, [1] or [H, W, channels].
    """
    support, query = tasks * config["way"] * config["train_shot"], tasks * config["way"] * config["query"]
    passes = config["passes"]
    gradient_steps = config["learner"] in build.GRADIENT_LEARNERS
    # A gradient step that is differentiated again costs its own forward and backward pass and two more.
    rows = query + support * (3 * max(passes, 1) if gradient_steps else 1)
    sizes = tuple(config["options"].get("sizes", ()))
    parts = []
    if config["base"] == "conv4":
        parts.append(_convolutions(rows, shape, config["filters"]))
    if config["base"] == "mlp":
        once = rows if gradient_steps or config["learner"] == "protonet" else query + support * max(passes, 1)
        parts.append(_products(once, (int(np.prod(shape)), *config["hidden"])))
    if config["learner"] in ("op_lstm", "op_lstm_head"):
        units = config["way"] + (sum(config["hidden"]) if config["learner"] == "op_lstm" else 0)
        parts.append(_cells(sizes, 2, passes * support * units))
    if config["learner"] in ("lstm", "pi_lstm"):
        features = int(np.prod(shape)) if config["base"] == "none" else _features(shape, config["filters"])
        parts.append(_cells(sizes, features + config["way"], passes * support + query))
    return lambda key: sum(part(key) for part in parts)


def _convolutions(images: int, shape: tuple[int, ...], filters: int) -> Callable[[Array], Array]:
    def run(key: Array) -> Array:
        total, features, size = jnp.zeros(()), shape[-1], shape[0]
        for _ in range(4):
            x = jax.random.uniform(key, (1, 1, 1, features)) * jnp.ones((images, size, size, features))
            kernel = jnp.full((3, 3, features, filters), 0.1)
            wanted = (0, 1) if features > 3 else (1,)  # nobody needs the gradient of the images themselves
            grads = jax.grad(lambda x, k: jnp.sum(conv3x3(x, k) ** 2), wanted)(x, kernel)
            total += sum(g.ravel()[0] for g in grads)
            features, size = filters, size // 2
        return total

    return run


def _products(rows: int, widths: tuple[int, ...]) -> Callable[[Array], Array]:
    def run(key: Array) -> Array:
        total = jnp.zeros(())
        for i, (fan_in, fan_out) in enumerate(zip(widths, widths[1:], strict=False)):
            x = jax.random.uniform(key, (1, fan_in)) * jnp.ones((rows, fan_in))
            kernel = jnp.full((fan_in, fan_out), 0.1)
            grads = jax.grad(lambda x, k: jnp.sum((x @ k) ** 2), (0, 1) if i else (1,))(x, kernel)
            total += sum(g.ravel()[0] for g in grads)
        return total

    return run


def _cells(sizes: tuple[int, ...], features: int, columns: int) -> Callable[[Array], Array]:
    like = jax.eval_shape(lambda: init_stack(jax.random.key(0), features, sizes))

    def run(key: Array) -> Array:
        params = jax.tree.map(lambda a: jnp.full(a.shape, 0.1), like)
        x = jax.random.uniform(key, (features, 1)) * jnp.ones((features, columns))
        grads = jax.grad(lambda p, x: jnp.sum(stack_step(p, None, x)[1] ** 2), (0, 1))(params, x)
        return sum(g.ravel()[0] for g in jax.tree.leaves(grads))

    return run


def _features(shape: tuple[int, ...], filters: int) -> int:
    return (shape[0] // 16) * (shape[1] // 16) * filters
