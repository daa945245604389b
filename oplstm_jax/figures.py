"""Figures of the paper's tables: runs that are finished, and what they predict."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from oplstm_jax import drawing
from oplstm_jax.report import label_of
from oplstm_jax.statistics import Estimate
from oplstm_jax.types import Array, Split

SIMILARITIES = {
    "gradient": ("with gradient descent", "#0072b2", "-", "o"),
    "prototype": ("with prototypes", "#c0392b", "--", "s"),
}


def learning_curves(
    path: Path, panels: Mapping[str, Mapping[str, Sequence[list[dict]]]], scales: Mapping[str, tuple[str, float]]
) -> None:
    """Validation score against training tasks, a panel each.

    panels: title -> learner -> lines of metrics per seed. scales: title -> (metric, chance).
    """
    figure, axes = drawing.grid(len(panels))
    for axis, (title, learners) in zip(axes, panels.items(), strict=True):
        metric, chance = scales[title]
        for learner, seeds in learners.items():
            colour, dash, marker = drawing.STYLES.get(learner, drawing.OTHER)
            for number, lines in enumerate(seeds):
                points = [(line["tasks"], line["validation_score"]) for line in lines if "validation_score" in line]
                if points:
                    label = label_of(learner) if number == 0 else None
                    style = {"color": colour, "ls": dash, "lw": 1.2, "marker": marker, "ms": 2.5}
                    axis.plot(*zip(*points, strict=True), label=label, **style)
        axis.axhline(chance, color="grey", lw=0.8)
        axis.annotate("chance", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7)
        axis.set(title=title, xlabel="training tasks", ylabel=f"validation {metric}")
        if metric == "mse":
            axis.set_yscale("log")
    drawing.finish(figure, axes, path)


def fitted_waves(
    path: Path, truth: tuple[Array, Array], panels: Mapping[str, tuple[Split, Mapping[str, Array]]]
) -> None:
    """The true curve (x, y) and, per panel, the support points and each learner's y over the same x.

    panels: title -> (support, learner -> y).
    """
    figure, axes = drawing.panels(len(panels))
    for axis, (title, (support, curves)) in zip(axes, panels.items(), strict=True):
        axis.plot(*(np.ravel(t) for t in truth), color="black", lw=2.5, alpha=0.35, label="true curve")
        for learner, y in curves.items():
            colour, dash, _ = drawing.STYLES.get(learner, drawing.OTHER)
            axis.plot(np.ravel(truth[0]), np.ravel(y), color=colour, ls=dash, lw=1.4, label=label_of(learner))
        axis.plot(np.ravel(support.x), np.ravel(support.y), "ko", ms=5, label="support", zorder=5)
        top = 1.5 * float(np.max(np.abs(truth[1])))  # what is far off does not hide the others
        axis.set(title=title, xlabel="x", ylabel="y", ylim=(-top, top))
    drawing.finish(figure, axes, path)


def by_shots(
    path: Path,
    ours: Mapping[str, Sequence[tuple[int, Estimate]]],
    theirs: Mapping[str, Sequence[tuple[int, float]]],
    metric: str,
) -> None:
    """Test score against shots, by learner: ours (shots, estimate over seeds), the published (shots, mean) hollow."""
    figure, axes = drawing.panels(1, size=(6, 4.2))
    scale = 100 if metric == "accuracy" else 1
    for learner, points in ours.items():
        colour, dash, marker = drawing.STYLES.get(learner, drawing.OTHER)
        shots, means = [shot for shot, _ in points], [scale * found.mean for _, found in points]
        spread = [scale * found.interval if np.isfinite(found.interval) else 0 for _, found in points]
        style = {"color": colour, "marker": marker, "ms": 5}
        axes[0].errorbar(shots, means, spread, ls=dash, lw=1.4, capsize=3, label=label_of(learner), **style)
    for learner, published in theirs.items():
        colour, dash, marker = drawing.STYLES.get(learner, drawing.OTHER)
        hollow = {"color": colour, "marker": marker, "ms": 7, "mfc": "none", "ls": "none"}
        shots, means = [shot for shot, _ in published], [scale * mean for _, mean in published]
        axes[0].plot(shots, means, label="published (hollow)", **hollow)
    axes[0].set_xticks(sorted({shot for points in (*ours.values(), *theirs.values()) for shot, _ in points}))
    name = "accuracy in %" if metric == "accuracy" else "mean squared error"
    axes[0].set(
        xlabel="support examples per class, k" if metric == "accuracy" else "support examples, k", ylabel=f"test {name}"
    )
    if metric == "mse":
        axes[0].set_yscale("log")
    drawing.finish(figure, axes, path)


def update_similarity(path: Path, panels: Mapping[str, Sequence[list[dict]]]) -> None:
    """Cosines (above) and ratios of norms (below) against training tasks, a column per data set.

    panels: title -> per seed the lines of metrics that hold the fields of `oplstm_jax.analysis.updates.Similarity`.
    """
    figure, axes = drawing.panels(len(panels), rows=2, size=(5, 3.2))
    for column, (title, seeds) in enumerate(panels.items()):
        for axis, kind in ((axes[column], "cosine"), (axes[len(panels) + column], "ratio")):
            for other, (label, colour, dash, marker) in SIMILARITIES.items():
                for number, lines in enumerate(seeds):
                    points = [(line["tasks"], line[f"{other}_{kind}"]) for line in lines]
                    style = {"color": colour, "ls": dash, "lw": 1.2, "marker": marker, "ms": 3}
                    axis.plot(*zip(*points, strict=True), label=label if number == 0 else None, **style)
            axis.set(title=title, xlabel="training tasks", ylabel="cosine" if kind == "cosine" else "ratio of norms")
            if kind == "ratio":
                axis.set_yscale("log")
    drawing.finish(figure, axes, path)


def predictions(path: Path, images: np.ndarray, captions: Sequence[str]) -> None:
    """Query images [Q, H, W, channels] in [0, 1], each with its caption (class and confidence) below."""
    columns = min(8, len(images))
    figure, axes = drawing.panels(columns, rows=-(-len(images) // columns), size=(1.4, 1.8))
    for axis in axes:
        axis.set_axis_off()
    for axis, image, caption in zip(axes, images, captions, strict=False):
        axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1)
        axis.set_title(caption, fontsize=8, y=-0.35)
    drawing.write(figure, path)
