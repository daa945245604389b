"""What the order of a support set does to a learner: the same examples in many orders, the spread of what it says."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.meta import task_outputs
from oplstm_jax.types import Array, Episode, Learner, Loss, Params

ORDERS_KEY = 5  # of the orders, the same for every task


class Orderings(NamedTuple):
    """Of one task over N random orders of its support set, or arrays over tasks.

    score: mean. score_spread: standard deviation. worst: the score of the worst order.
    prediction_spread: root mean square over queries and outputs of an output's standard deviation over orders.
    order_share: of the mean squared error, the share that is variance over orders; the rest is that of the mean output.
    ensemble_score: of the outputs' mean over orders.
    """

    score: Array
    score_spread: Array
    worst: Array
    prediction_spread: Array
    order_share: Array
    ensemble_score: Array


def make_orderings(
    learner: Learner, score: Loss, count: int, lower_is_better: bool
) -> Callable[[Params, Episode], Orderings]:
    """(params, episode) -> Orderings of one task, over `count` random orders; for `updates.over_list`.

    Raises ValueError for fewer than two orders.
    """
    if count < 2:
        raise ValueError(f"count is {count}: expected 2 orders or more")

    def orderings(params: Params, episode: Episode) -> Orderings:
        keys = jax.random.split(jax.random.key(ORDERS_KEY), count)
        outputs = jax.lax.map(functools.partial(_in_order, learner, params, episode), keys)
        scores = jax.vmap(score, (0, None))(outputs, episode.query.y)
        mean = jnp.mean(outputs, 0)
        variance, error = jnp.var(outputs, 0), jnp.mean(jnp.square(outputs - episode.query.y[None]))
        return Orderings(
            jnp.mean(scores),
            jnp.std(scores, ddof=1),
            jnp.max(scores) if lower_is_better else jnp.min(scores),
            jnp.sqrt(jnp.mean(variance)),
            jnp.mean(variance) / error,
            score(mean, episode.query.y),
        )

    return orderings


def _in_order(learner: Learner, params: Params, episode: Episode, key: Array) -> Array:
    """Outputs [Q, C] after learning the support set in an order drawn with the key."""
    order = jax.random.permutation(key, len(episode.support.x))
    support = jax.tree.map(lambda a: a[order], episode.support)
    return task_outputs(learner, params, episode._replace(support=support))
