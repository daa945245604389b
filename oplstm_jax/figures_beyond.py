"""Figures of the questions that the paper leaves open."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from oplstm_jax import drawing
from oplstm_jax.report import label_of
from oplstm_jax.statistics import Estimate


def by_part(
    path: Path, panels: Mapping[str, tuple[str, Mapping[str, Sequence[float]]]], bounds: Mapping[str, dict[str, float]]
) -> None:
    """Test scores, a panel for each part of a table: a dot a seed, and a bar at their mean.

    panels: title -> (metric, learner -> score of each seed). bounds: title -> words -> score to draw a line at.
    """
    figure, axes = drawing.grid(len(panels), size=(max(4.2, 10 / len(panels)), 3.4))
    for axis, (title, (metric, learners)) in zip(axes, panels.items(), strict=True):
        scale = 100 if metric == "accuracy" else 1
        for place, (learner, scores) in enumerate(learners.items()):
            colour, _, marker = drawing.STYLES.get(learner, drawing.OTHER)
            values = [scale * score for score in scores]
            dots = {"color": colour, "marker": marker, "ls": "none", "ms": 5, "mfc": "none", "label": label_of(learner)}
            axis.plot([place] * len(values), values, **dots)
            axis.plot([place - 0.3, place + 0.3], [np.mean(values)] * 2, color=colour, lw=2)
        for (words, score), dash in zip(bounds.get(title, {}).items(), (":", "--"), strict=False):
            axis.axhline(scale * score, color="grey", lw=0.9, ls=dash, label=words)
        axis.set(title=title, xticks=[], ylabel=f"test {'accuracy in %' if metric == 'accuracy' else metric}")
        if metric == "mse":
            axis.set_yscale("log")
    drawing.finish(figure, axes, path)


def spreads(path: Path, values: Mapping[str, np.ndarray]) -> None:
    """Standard deviation over orders of a task's score, relative to its mean: a box for the tasks of each learner."""
    figure, axes = drawing.panels(1, size=(6.4, 0.42 * len(values) + 1.2))
    floor = 1e-8  # what rounding leaves of no spread at all
    boxes = [np.maximum(tasks, floor) for tasks in values.values()]
    axes[0].boxplot(boxes, orientation="horizontal", whis=(5, 95), sym="")
    axes[0].set(xscale="log", xlabel="standard deviation over orders / mean, of a task's score")
    axes[0].set_yticks(range(1, len(values) + 1), list(values))
    axes[0].invert_yaxis()
    drawing.finish(figure, axes, path)


def courses(path: Path, values: Mapping[str, Sequence[tuple[int | None, int | None, int]]]) -> None:
    """A line for every run from where it left chance to where it was near its best, a cross where it never left.

    values: name -> training tasks at (left chance, near its best, end) of each run.
    """
    figure, axes = drawing.panels(1, size=(7, 0.4 * len(values) + 1.4))
    for place, runs in enumerate(values.values()):
        for number, (left, near, last) in enumerate(runs):
            height = place + 0.6 * ((number + 0.5) / len(runs) - 0.5)
            if left is None or near is None:
                axes[0].plot(last, height, "x", color="#c0392b", ms=5, label="still at chance")
            else:
                axes[0].plot([left, near], [height] * 2, "-", color="#0072b2", lw=1)
                axes[0].plot(left, height, "o", color="#0072b2", ms=3, label="left chance")
                axes[0].plot(near, height, "s", color="#00805f", ms=4, mfc="none", label="error twice its least")
    axes[0].set(xscale="log", xlabel="training tasks")
    axes[0].set_yticks(range(len(values)), list(values), fontsize=7)
    axes[0].set_ylim(len(values) - 0.5, -0.5)
    drawing.finish(figure, axes, path)


def curves(path: Path, panels: Mapping[tuple[str, str], Mapping[str, Sequence[list]]], ylabel: str) -> None:
    """A panel for each (title, label of x): learner -> per seed a list of points (x, y)."""
    figure, axes = drawing.grid(len(panels), size=(4.4, 3.2))
    for axis, ((title, xlabel), learners) in zip(axes, panels.items(), strict=True):
        for learner, seeds in learners.items():
            colour, dash, marker = drawing.STYLES.get(learner, drawing.OTHER)
            for number, points in enumerate(seeds):
                style = {"color": colour, "ls": dash, "lw": 1.2, "marker": marker, "ms": 3}
                axis.plot(*zip(*points, strict=True), label=label_of(learner) if number == 0 else None, **style)
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
    drawing.finish(figure, axes, path)


def lines(
    path: Path,
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, Estimate]]]],
    xlabel: str,
    ylabel: str,
    log: bool = False,
) -> None:
    """Means with their intervals against numbers, a line per label; panels: title -> label -> (x, estimate) in order.

    log: of the y axis; the x axis has a tick at every number. A label looks the same in all panels.
    """
    figure, axes = drawing.panels(len(panels), size=(7.5, 4.2) if len(panels) == 1 else (5, 3.8))
    styles = drawing.series(itertools.chain.from_iterable(panels.values()))
    for axis, (title, labels) in zip(axes, panels.items(), strict=True):
        for label, points in labels.items():
            x, found = zip(*points, strict=True)
            spread = [e.interval if np.isfinite(e.interval) else 0 for e in found]
            axis.errorbar(x, [e.mean for e in found], spread, label=label, ms=4, capsize=2, lw=1.2, **styles[label])
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel, xticks=sorted({p[0] for v in labels.values() for p in v}))
        axis.set_yscale("log" if log else "linear")
    drawing.finish(figure, axes, path)
