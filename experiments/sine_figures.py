"""The figure of fitted sine waves: one task, every learner's curve after learning its support set."""

from pathlib import Path

import jax
import jax.numpy as jnp

from oplstm_jax import build, figures, params, report
from oplstm_jax.data import sine
from oplstm_jax.types import Episode, Split
from oplstm_jax.workdir import read_config, read_result

TASK_KEY = 7  # a task with a large amplitude, none of training or testing


def draw(root: Path, cells: list[report.Cell]) -> None:
    """Writes fitted_waves.png from the first finished seed of every cell."""
    x = jnp.linspace(*sine.INPUTS, 200)[:, None]
    fits: dict[str, dict] = {}
    amplitude, phase = jnp.array(4.0), jnp.array(0.8)
    truth = sine.wave(amplitude, phase, x)
    shown = None
    for cell in cells:
        support_x = jax.random.uniform(jax.random.key(TASK_KEY), (cell.shot, 1), minval=-5.0, maxval=5.0)
        support = Split(support_x, sine.wave(amplitude, phase, support_x))
        folder = next((f for f in cell.folders.values() if read_result(f) is not None), None)
        if folder is not None:
            curves = fits.setdefault(f"{cell.shot}-shot", {})
            curves[cell.learner] = _curve(folder, support, x)
            shown = shown or support
    if fits:
        figures.fitted_waves(root / "fitted_waves.png", shown, (x, truth), fits)


def _curve(folder: Path, support: Split, x):
    config = read_config(folder)
    learner = build.build_learner(config, config["eval_passes"])
    like = jax.eval_shape(learner.init, jax.random.key(0), Episode(support, support))
    weights = params.load(folder / "params.npz", like)

    @jax.jit
    def fit(weights):
        fast, _ = learner.adapt(weights, support)
        return learner.predict(weights, fast, x)

    return fit(weights)
