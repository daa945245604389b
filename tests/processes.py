"""Small runs, and commands that tests run in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from experiments.configs import glyphs, sine

ROOT = Path(__file__).parents[1]
# Programs that run for a while pay for their optimisation, which the suite's flags (conftest) leave out.
OPTIMISED = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
SMALL = {"train_tasks": 40, "validate_every": 20, "log_every": 10, "validation_tasks": 10, "test_tasks": 10}


def command(*words, **options):
    """`python -m` of the words in the repository, with its output as text."""
    arguments = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def small_sine(argument, **changes):
    """The configuration of a sine run of a second."""
    config = sine.get_config(argument)
    config.update({**SMALL, "meta_batch": 2, **changes})
    if "sizes" in config.options:
        config.options.sizes = (8, 8)
    return config


def small_images(argument, folder, **changes):
    """The configuration of a run of a second or two on a pack of small images, which is written into the folder."""
    config = glyphs.get_config(argument)
    config.update({**SMALL, "meta_batch": 2, "base": "mlp", "hidden": (8,), "norm": "none", **changes})
    config.data = str(write_pack(folder))
    if "sizes" in config.options:
        config.options.sizes = (4, 1)
    return config


def write_pack(folder, size=8):
    """pack.npz: 10 classes each for training, validation and test, 20 square images of a class, differing by noise."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(30), 20)
    images = rng.uniform(0, 255, (30, size, size))[labels] + rng.normal(0, 30, (600, size, size))
    path = folder / "pack.npz"
    splits, names = np.repeat([0, 1, 2], 10), np.array([f"class{n}" for n in range(30)])
    images = np.clip(images, 0, 255).astype(np.uint8)[..., None]
    np.savez(path, images=images, labels=labels, class_names=names, class_split=splits)
    return path
