"""The optimiser of meta-training: Adam as in the paper, or Muon where there are matrices to it."""

import jax
import optax

from oplstm_jax import finite
from oplstm_jax.fields import OPTIMISERS
from oplstm_jax.problem import Settings
from oplstm_jax.types import Array

SMALLEST_SIDE = 16  # rows and columns that a matrix must have for Muon: the authors' cells of 5 and 1 have fewer


def make_optimiser(settings: Settings) -> optax.GradientTransformation:
    """Adam with its default moments, `adam_and_muon` or what is given, after clipping the meta-gradient where asked.

    Raises ValueError for another name.
    """
    optimiser = settings.optimiser
    if isinstance(optimiser, optax.MultiSteps):
        optimiser = optimiser.gradient_transformation()
    if not isinstance(optimiser, optax.GradientTransformation):
        if not isinstance(optimiser, str) or optimiser not in BY_NAME:
            raise ValueError(f"optimiser is {optimiser!r}: expected {', '.join(BY_NAME)} or an optimiser of Optax")
        optimiser = BY_NAME[optimiser](_learning_rate(settings))
    clipped = optimiser if settings.outer_clip is None else optax.chain(optax.clip(settings.outer_clip), optimiser)
    return finite.skip_nonfinite(clipped) if settings.skip_nonfinite else clipped


def adam_and_muon(learning_rate: float | optax.Schedule) -> optax.GradientTransformation:
    """Muon for matrices of at least 16 rows and columns, Adam for everything else; not in the paper.

    Muon (Jordan, https://kellerjordan.github.io/posts/muon) makes the singular values of a matrix's momentum equal.
    Its updates are scaled (Liu et al., arXiv 2502.16982, with 1 in place of 0.2) until the root mean square of their
    entries is the learning rate, which is the size of Adam's: one learning rate serves both.
    """
    transforms = {"muon": optax.contrib.muon(learning_rate, consistent_rms=1.0), "adam": optax.adam(learning_rate)}
    return optax.partition(transforms, lambda params: jax.tree.map(_which, params))


BY_NAME = dict(zip(OPTIMISERS, (optax.adam, adam_and_muon), strict=True))


def _which(array: Array) -> str:
    return "muon" if array.ndim == 2 and min(array.shape) >= SMALLEST_SIDE else "adam"


def _learning_rate(settings: Settings) -> float | optax.Schedule:
    if (final := settings.final_learning_rate) is None:
        return settings.learning_rate
    steps = settings.steps(settings.train_tasks)
    return optax.cosine_decay_schedule(settings.learning_rate, steps, final / settings.learning_rate)
