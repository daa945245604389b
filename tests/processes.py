"""Small runs, and commands that tests run in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

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


def small_glyphs(argument, **changes):
    """The configuration of a run on glyphs of a few seconds."""
    config = glyphs.get_config(argument)
    config.update({**SMALL, "meta_batch": 2, "filters": 2, **changes})
    return config
