"""The smallest problem that goes through all of the training loop: a line is fitted to points, in milliseconds."""

import jax
import jax.numpy as jnp

from oplstm_jax.losses import mean_squared_error
from oplstm_jax.problem import Problem, Settings
from oplstm_jax.train import train
from oplstm_jax.types import Episode, Learner, Split
from oplstm_jax.workdir import Workdir

SETTINGS = Settings(
    seed=0,
    meta_batch=2,
    learning_rate=0.1,
    train_tasks=100,
    validate_every=20,
    log_every=10,
    validation_tasks=3,
    test_tasks=3,
    patience_tasks=1000,
)


def line_learner():
    """Predicts slope * x + shift, and learns nothing from the support set."""
    return Learner(
        init=lambda key, episode: {"shift": jnp.zeros(1), "slope": jax.random.normal(key, (1,))},
        adapt=lambda params, support, *, key=None: (None, {}),
        predict=lambda params, fast, x: params["slope"][None] * x + params["shift"][None],
    )


def sample_line(key):
    """Points of a line with a random slope, x and y [4, 1]."""
    slope_key, x_key = jax.random.split(key)
    x = jax.random.normal(x_key, (8, 1))
    y = (2.0 + jax.random.normal(slope_key)) * x + 1.0
    return Episode(Split(x[:4], y[:4]), Split(x[4:], y[4:]))


def scaled_line(key, scale):
    """A line as above, of other points."""
    return jax.tree.map(lambda a: scale * a, sample_line(key))


def line_problem(sampler=lambda split: jax.tree_util.Partial(sample_line)):
    """The problem; sampler: split -> (key -> Episode)."""
    learner, loss = line_learner(), mean_squared_error
    return Problem(learner, learner, loss, loss, "mse", 5.0, sampler)


def run(folder, problem=None, **changes):
    """Meta-trains and tests in a folder, with changed settings."""
    settings = SETTINGS._replace(**changes)
    workdir = Workdir(folder, {**settings._asdict(), "optimiser": str(settings.optimiser)})
    try:
        return train(problem or line_problem(), settings, workdir)
    finally:
        workdir.close()
