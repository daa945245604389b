"""Running with every check on: the line of a NaN is named, reused keys are refused, shapes and dtypes asserted.

Slower than a normal run and otherwise the same, to the last bit where XLA rounds alike.
"""

import contextlib
from collections.abc import Iterator

import chex
import jax

from oplstm_jax.problem import Problem
from oplstm_jax.types import Array, Episode, Learner, Sampler, as_sampler


def switch_on() -> None:
    """From here on runs name the line of code where a NaN arises, and JAX refuses to use a random key twice."""
    jax.config.update("jax_debug_nans", True)
    jax.config.update("jax_debug_key_reuse", True)


def checked(problem: Problem) -> Problem:
    """The problem, but its episodes and outputs are asserted to have the documented shapes and dtypes.

    What does not raises ValueError as functions are traced, so compiled programs stay as they are.
    """
    return problem._replace(
        learner=_checked_learner(problem.learner),
        eval_learner=_checked_learner(problem.eval_learner),
        sampler=lambda split: _checked_sampler(problem.sampler(split)),
    )


def check_episode(episode: Episode) -> None:
    """Raises ValueError unless support and query are x [M, ...], y [M, C] of floats, with the same features and C."""
    support, query = episode
    with _as_value_error("episode"):
        for split in episode:
            chex.assert_rank(split.y, 2)
            chex.assert_equal_shape_prefix([split.x, split.y], 1)
            chex.assert_axis_dimension_gt(split.x, 0, 0)
        chex.assert_equal_shape([support.x[0], query.x[0]])
        chex.assert_equal_shape([support.y[0], query.y[0]])
        chex.assert_type([*support, *query], float)


@contextlib.contextmanager
def _as_value_error(what: str) -> Iterator[None]:
    try:
        yield
    except (AssertionError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{what}: {' '.join(str(error).split())}") from None


def _checked_sampler(sample: Sampler) -> Sampler:
    def checked_sample(sample: Sampler, key: Array) -> Episode:
        episode = sample(key)
        check_episode(episode)
        return episode

    return jax.tree_util.Partial(checked_sample, as_sampler(sample))


def _checked_learner(learner: Learner) -> Learner:
    def init(key, episode):
        params = learner.init(key, episode)
        with _as_value_error("meta-parameters"):
            chex.assert_type(jax.tree.leaves(params), float)
        return params

    def predict(params, fast, x):
        outputs = learner.predict(params, fast, x)
        with _as_value_error("outputs"):
            chex.assert_rank(outputs, 2)
            chex.assert_equal_shape_prefix([outputs, x], 1)
            chex.assert_type(outputs, float)
        return outputs

    return learner._replace(init=init, predict=predict)
