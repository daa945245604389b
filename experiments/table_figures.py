"""The figures of a table beside its learning curves: fitted waves, images, scores by shots, similarity of updates."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from experiments.configs import convolutions
from oplstm_jax import build, figures, figures_beyond, report
from oplstm_jax.data import load, sequences, sine
from oplstm_jax.data.show import write_sheet
from oplstm_jax.records import read_config, read_metrics, read_result
from oplstm_jax.statistics import Estimate, over_seeds
from oplstm_jax.trained import load_trained
from oplstm_jax.types import Episode, Split

SUPPORT_KEY = 7
TASKS = "training tasks"


def waves(root: Path, cells: list[report.Cell]) -> None:
    """Writes fitted_waves.png: one task, every learner's curve, from the first finished seed of every cell.

    Guesses are no curve.
    """
    x = jnp.linspace(*sine.INPUTS, 200)[:, None]
    panels: dict[str, tuple[Split, dict]] = {}
    amplitude, phase = jnp.array(4.0), jnp.array(0.8)
    truth = sine.wave(amplitude, phase, x)
    for cell in cells:
        low, high = sine.INPUTS
        support_x = jax.random.uniform(jax.random.key(SUPPORT_KEY), (cell.shot, 1), minval=low, maxval=high)
        support = Split(support_x, sine.wave(amplitude, phase, support_x))
        folder = next((f for f in cell.folders.values() if read_result(f) is not None), None)
        if folder is not None and cell.learner != "random":
            _, curves = panels.setdefault(f"{cell.shot}-shot", (support, {}))
            curves[cell.learner] = _curve(folder, support, x)
    if panels:
        figures.fitted_waves(root / "fitted_waves.png", (x, truth), panels)


def episodes(root: Path, cells: list[report.Cell]) -> None:
    """Writes episodes.png: four training tasks, support left and query right."""
    configs = [read_config(f) for cell in cells for f in cell.folders.values() if (f / "config.json").exists()]
    if configs:
        config = configs[0]
        images = load(config["data"], config["image_size"])
        write_sheet(images, root / "episodes.png", "train", config["way"], config["shot"], 5, 4, seed=0)


def shots(root: Path, cells: list[report.Cell]) -> None:
    """Writes shots.png: mean test score and interval over seeds against the number of shots, ours and the published."""
    ours: dict[str, list[tuple[int, Estimate]]] = {}
    theirs: dict[str, list[tuple[int, float]]] = {}
    for cell in cells:
        if scores := [run.scores for run in cell.runs().values()]:
            ours.setdefault(cell.learner, []).append((cell.shot, over_seeds(scores)))
        if cell.published is not None:
            theirs.setdefault(cell.learner, []).append((cell.shot, cell.published.mean))
    if ours:
        figures.by_shots(root / "shots.png", ours, theirs, cells[0].metric)


def parts(root: Path, cells: list[report.Cell]) -> None:
    """Writes seeds.png: the score of every seed, a panel for each part and number of shots, beside what bounds it."""
    panels: dict[str, tuple[str, dict[str, list[float]]]] = {}
    bounds: dict[str, dict[str, float]] = {}
    for cell in cells:
        if runs := list(cell.runs().values()):
            title, config = f"{cell.protocol}, {cell.shot}-shot", runs[0].result["config"]
            panels.setdefault(title, (cell.metric, {}))[1][cell.learner] = [float(run.scores.mean()) for run in runs]
            bounds[title] = {"chance": build.chance(config), **_unordered(config)}
    if panels:
        figures_beyond.by_part(root / "seeds.png", panels, bounds)


def _unordered(config: dict) -> dict[str, float]:
    """The best score of a learner that can see no order in the support set of a sequence, where that is known."""
    known = {"drift": sequences.DRIFT_UNORDERED, "latest": 1 / config["shot"]}
    return {"best without order": known[config["data"]]} if config["data"] in known and not config["position"] else {}


def updates(root: Path, cells: list[report.Cell]) -> None:
    """Writes updates.png: similarity of updates with gradient descent and prototypes against training tasks."""
    panels = {}
    for cell in cells:
        lines = [read_metrics(folder) for folder in cell.folders.values()]
        measured = [[line for line in seed if "gradient_cosine" in line] for seed in lines]
        if any(measured):
            panels[f"{cell.protocol.split(',')[0]}, {cell.shot}-shot"] = [seed for seed in measured if seed]
    if panels:
        figures.update_similarity(root / "updates.png", panels)


def budgets(root: Path, cells: list[report.Cell]) -> None:
    """Writes figure.png: validation score against training tasks and, of the runs of equal time, against that time.

    Protocols are "data, equal tasks" and "data, equal time". Time is training tasks divided by the rate of the variant.
    """
    time = "training time at the measured rates, s"
    _draw_validation(
        root,
        cells,
        lambda cell: (time, convolutions.RATES[cell.learner]) if "equal time" in cell.protocol else (TASKS, 1),
    )


def learning(root: Path, cells: list[report.Cell]) -> None:
    """Writes figure.png: validation score against training tasks, a panel for each protocol."""
    _draw_validation(root, cells, lambda cell: (TASKS, 1))


def _draw_validation(root: Path, cells: list[report.Cell], unit: Callable[[report.Cell], tuple[str, float]]) -> None:
    """unit: what x is, and how many training tasks one of it is."""
    panels: dict[tuple[str, str], dict[str, list[list[tuple[float, float]]]]] = {}
    for cell in cells:
        label, tasks = unit(cell)
        lines = [read_metrics(folder) for folder in cell.folders.values()]
        validated = [[line for line in seed if "validation_score" in line] for seed in lines]
        curves = [[(line["tasks"] / tasks, line["validation_score"]) for line in seed] for seed in validated if seed]
        if curves:
            panels.setdefault((cell.protocol, label), {})[cell.learner] = curves
    if panels:
        figures_beyond.curves(root / "figure.png", panels, "validation accuracy")


def _curve(folder: Path, support: Split, x):
    _, learner, weights = load_trained(folder, Episode(support, support))

    @jax.jit
    def fit(weights):
        fast, _ = learner.adapt(weights, support, key=jax.random.key(SUPPORT_KEY))
        return learner.predict(weights, fast, x)

    return fit(weights)
