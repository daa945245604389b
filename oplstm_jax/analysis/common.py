"""How much of a network's features all examples of a task have in common, which outer products add to every class."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from oplstm_jax.learners.features import embed_support
from oplstm_jax.types import Array, Episode, Params


def make_common_share(features: nn.Module) -> Callable[[Params, Episode], Array]:
    """(params with `features`, episode) -> the mean feature's squared norm over the mean of squared norms, from 0 to 1.

    Of the support set's features a [M, d]: 0 where they are centred, 1 where all examples have the same.
    """

    def share(params: Params, episode: Episode) -> Array:
        a, _ = embed_support(features, params, episode.support.x)
        return jnp.sum(jnp.square(jnp.mean(a, 0))) / jnp.mean(jnp.sum(jnp.square(a), 1))

    return share
