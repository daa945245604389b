"""Figures of finished runs. Needs matplotlib (extra `plots`), which is imported only here and only when drawing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

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
                    axis.plot(*zip(*points, strict=True), color=colour, ls=dash, lw=1.2, marker=marker, ms=2.5, label=label)
        axis.axhline(chance, color="grey", lw=0.8)
        axis.annotate("chance", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7)
        axis.set(title=title, xlabel="training tasks", ylabel=f"validation {metric}")
        if metric == "mse":
            axis.set_yscale("log")
    _finish(figure, axes, path)


def fitted_waves(path: Path, support: Split, truth: tuple[Array, Array], fits: Mapping[str, Mapping[str, Array]]) -> None:
    """Support points, the true curve and each learner's curve; fits: panel title -> learner -> y over truth's x."""
    figure, axes = _panels(len(fits))
    for axis, (title, curves) in zip(axes, fits.items(), strict=True):
        axis.plot(*(np.ravel(t) for t in truth), color="black", lw=2.5, alpha=0.35, label="true curve")
        for learner, y in curves.items():
            colour, dash, _ = STYLES.get(learner, OTHER)
            axis.plot(np.ravel(truth[0]), np.ravel(y), color=colour, ls=dash, lw=1.4, label=LABELS[learner])
        axis.plot(np.ravel(support.x), np.ravel(support.y), "ko", ms=5, label="support", zorder=5)
        axis.set(title=title, xlabel="x", ylabel="y")
    _finish(figure, axes, path)


def _panels(count: int):
    try:
        import matplotlib
    except ImportError:
        raise ValueError("figures need matplotlib: pip install 'oplstm_jax[plots]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, count, figsize=(5 * count, 3.8), squeeze=False, layout="constrained")
    return figure, list(axes[0])


def _finish(figure, axes, path: Path) -> None:
    from matplotlib import pyplot

    handles = {label: h for axis in axes for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False)
    for axis in axes:
        axis.grid(alpha=0.3)
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, dpi=130, format="png")
    pyplot.close(figure)
    partial.replace(path)
