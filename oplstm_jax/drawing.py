"""What all figures share: a style for every learner, panels, and a file that is whole or not there.

Needs matplotlib (extra `plots`), which is imported only when something is drawn.
"""

from collections.abc import Iterable
from pathlib import Path

from oplstm_jax.files import atomic

# Distinguishable in print and for the colour-blind: every learner has its own colour, dash and marker.
STYLES = {
    "lstm": ("#9a6a00", ":", "v"),
    "pi_lstm": ("#0072b2", "-.", "s"),
    "op_lstm": ("#c0392b", "-", "o"),
    "op_lstm_head": ("#c0392b", "-", "o"),
    "op_lstm_general": ("#0072b2", "-", "s"),
    "op_lstm_sequential": ("#d35400", "--", "P"),
    "maml": ("#00805f", "--", "^"),
    "protonet": ("#7b3294", (0, (5, 1)), "D"),
    "sap": ("#d6719b", (0, (3, 1, 1, 1)), "P"),
    "warp_maml": ("#e69f00", (0, (6, 2)), "<"),
    "finetune": ("#555555", "-", "*"),
    "scratch": ("#555555", "--", "+"),
    "random": ("#555555", ":", "_"),
    "head_only": ("#0072b2", "-.", "s"),
    "last_block": ("#9a6a00", "--", "^"),
    "all_layers": ("#c0392b", "-", "o"),
}
# The same for lines that are no learners.
SERIES = (
    ("#0072b2", "-", "o"),
    ("#c0392b", "--", "s"),
    ("#00805f", "-.", "v"),
    ("#7b3294", ":", "^"),
    ("#9a6a00", "-", "D"),
)
FILLS = ("full", "none", "left")  # of the markers of the first five lines, the next five, and the rest
OTHER = ("#555555", (0, (1, 1)), "x")


def series(labels: Iterable[str]) -> dict[str, dict]:
    """A look of its own for each of up to fifteen labels, in the order in which they first come, as keywords."""
    found = {}
    for number, label in enumerate(dict.fromkeys(labels)):
        colour, dash, marker = SERIES[number % len(SERIES)]
        fill = FILLS[number // len(SERIES) % len(FILLS)]
        found[label] = {"color": colour, "ls": dash, "marker": marker, "fillstyle": fill}
    return found


def panels(columns: int, rows: int = 1, size: tuple[float, float] = (5, 3.8)):
    """A figure and its axes, row by row, each of a size in inches. Raises ValueError without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        raise ValueError("figures need matplotlib (the extra `plots`): pip install matplotlib") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    shape = (size[0] * columns, size[1] * rows)
    figure, axes = pyplot.subplots(rows, columns, figsize=shape, squeeze=False, layout="constrained")
    return figure, list(axes.flat)


def grid(count: int, size: tuple[float, float] = (5, 3.8)):
    """A figure and `count` axes of it, at most three in a row; what is left of the last row is blank."""
    columns = min(3, count)
    figure, axes = panels(columns, rows=-(-count // columns), size=size)
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes[:count]


def finish(figure, axes, path: Path) -> None:
    """Puts one legend for all axes below them, of as many columns as fit, and writes the figure."""
    handles = {label: h for axis in axes for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    widest = max(map(len, handles), default=0) + 9  # letters, of which 12 are an inch; the sample line is as wide as 9
    columns = min(5, max(1, int(12 * figure.get_figwidth() / widest)))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False)
    for axis in axes:
        axis.grid(alpha=0.3)
    write(figure, path)


def write(figure, path: Path) -> None:
    """Writes a figure as PNG, whole or not at all, and lets go of it."""
    from matplotlib import pyplot

    with atomic(path) as file:
        figure.savefig(file, dpi=130, format="png")
    pyplot.close(figure)
