"""Figures of finished runs. Needs matplotlib (extra `plots`), which is imported only here and only when drawing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from oplstm_jax.files import atomic
from oplstm_jax.report import LABELS
from oplstm_jax.types import Array, Split

# Distinguishable in print and for the colour-blind: every learner has its own colour, dash and marker.
STYLES = {
    "lstm": ("#9a6a00", ":", "v"),
    "pi_lstm": ("#0072b2", "-.", "s"),
    "op_lstm": ("#c0392b", "-", "o"),
    "op_lstm_head": ("#c0392b", "-", "o"),
    "maml": ("#00805f", "--", "^"),
    "protonet": ("#7b3294", (0, (5, 1)), "D"),
}
OTHER = ("#555555", (0, (1, 1)), "x")


def learning_curves(
    path: Path, panels: Mapping[str, Mapping[str, Sequence[list[dict]]]], metric: str, chance: float
) -> None:
    """Validation score against training tasks, a panel each; panels: title -> learner -> lines of metrics per seed."""
    figure, axes = _panels(len(panels))
    for axis, (title, learners) in zip(axes, panels.items(), strict=True):
        for learner, seeds in learners.items():
            colour, dash, marker = STYLES.get(learner, OTHER)
            for number, lines in enumerate(seeds):
                points = [(line["tasks"], line["validation_score"]) for line in lines if "validation_score" in line]
                if points:
                    label = LABELS[learner] if number == 0 else None
                    style = {"color": colour, "ls": dash, "lw": 1.2, "marker": marker, "ms": 2.5}
                    axis.plot(*zip(*points, strict=True), label=label, **style)
        axis.axhline(chance, color="grey", lw=0.8)
        axis.annotate("chance", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7)
        axis.set(title=title, xlabel="training tasks", ylabel=f"validation {metric}")
        if metric == "mse":
            axis.set_yscale("log")
    _finish(figure, axes, path)


def fitted_waves(
    path: Path, truth: tuple[Array, Array], panels: Mapping[str, tuple[Split, Mapping[str, Array]]]
) -> None:
    """The true curve (x, y) and, per panel, the support points and each learner's y over the same x.

    panels: title -> (support, learner -> y).
    """
    figure, axes = _panels(len(panels))
    for axis, (title, (support, curves)) in zip(axes, panels.items(), strict=True):
        axis.plot(*(np.ravel(t) for t in truth), color="black", lw=2.5, alpha=0.35, label="true curve")
        for learner, y in curves.items():
            colour, dash, _ = STYLES.get(learner, OTHER)
            axis.plot(np.ravel(truth[0]), np.ravel(y), color=colour, ls=dash, lw=1.4, label=LABELS[learner])
        axis.plot(np.ravel(support.x), np.ravel(support.y), "ko", ms=5, label="support", zorder=5)
        axis.set(title=title, xlabel="x", ylabel="y")
    _finish(figure, axes, path)


def predictions(path: Path, images: np.ndarray, captions: Sequence[str]) -> None:
    """Query images [Q, H, W, channels] in [0, 1], each with its caption (class and confidence) below."""
    columns = min(8, len(images))
    figure, axes = _panels(columns, rows=-(-len(images) // columns), size=(1.4, 1.8))
    for axis in axes:
        axis.set_axis_off()
    for axis, image, caption in zip(axes, images, captions, strict=False):
        axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1)
        axis.set_title(caption, fontsize=8, y=-0.35)
    _write(figure, path)


def _panels(columns: int, rows: int = 1, size: tuple[float, float] = (5, 3.8)):
    try:
        import matplotlib
    except ImportError:
        raise ValueError("figures need matplotlib: pip install 'oplstm_jax[plots]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    shape = (size[0] * columns, size[1] * rows)
    figure, axes = pyplot.subplots(rows, columns, figsize=shape, squeeze=False, layout="constrained")
    return figure, list(axes.flat)


def _finish(figure, axes, path: Path) -> None:
    handles = {label: h for axis in axes for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False)
    for axis in axes:
        axis.grid(alpha=0.3)
    _write(figure, path)


def _write(figure, path: Path) -> None:
    from matplotlib import pyplot

    with atomic(path) as file:
        figure.savefig(file, dpi=130, format="png")
    pyplot.close(figure)
