"""What a table of the paper is: parts, learners and shots, and the ways its runs are tested."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from experiments import table_figures
from oplstm_jax.published import Published
from oplstm_jax.report import Cell

# What may lie in the folder of a table beside its runs.
TEXTS = ("table.md", "table.json", "table.csv", "table.tex")
FIGURES = tuple(
    f"{name}.png" for name in "learning_curves fitted_waves episodes shots updates figure seeds".split()
)
FILES = TEXTS + FIGURES


@dataclasses.dataclass(frozen=True)
class Test:
    """One way of testing a run. label: the column's, where there is more than one.

    folder: below the run's, where result and scores lie; empty for the test that ends the run itself.
    changes: number of shots -> fields that differ from the run's configuration.
    measure: what is measured instead of the score: (run's folder, step size) -> folder name -> (result, scores [n]).
    metric: of what is measured. seconds: the authors' wall time of a run, by learner and shots.
    """

    label: str = ""
    folder: str = ""
    changes: Callable[[int], dict] = lambda shot: {}
    published: dict[tuple[str, int], Published] = dataclasses.field(default_factory=dict)
    measure: Callable[[Path, float], dict[str, tuple[dict[str, Any], np.ndarray]]] | None = None
    metric: str = ""
    seconds: dict[tuple[str, int], float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Part:
    """Runs that share a configuration file and data. data: empty for the configuration's own. name: of their folder.

    changes: number of shots -> fields that differ from the configuration file; options as `options.pool`.
    gradient_step: for runs whose updates are compared with gradient descent as they are trained, its step size.
    """

    get_config: Callable[[str], ConfigDict]
    tests: tuple[Test, ...]
    name: str = ""
    data: str = ""
    changes: Callable[[int], dict[str, Any]] = lambda shot: {}
    gradient_step: float | None = None

    def configure(self, learner: str, shot: int, seed: int = 0) -> ConfigDict:
        """The configuration of one run at full budget."""
        config = self.get_config(f"{learner},shot={shot},seed={seed}")
        config.data = self.data or config.data
        config.update_from_flattened_dict(self.changes(shot))
        return config


@dataclasses.dataclass(frozen=True)
class Table:
    """One table: parts, each with all learners at all shots, and a figure of its own.

    stand_in: the data is not the paper's.
    """

    title: str
    parts: tuple[Part, ...]
    learners: tuple[str, ...]
    shots: tuple[int, ...]
    draw: Callable[[Path, list[Cell]], None] = table_figures.episodes
    stand_in: bool = False
