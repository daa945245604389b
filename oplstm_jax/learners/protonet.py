"""Prototypical networks: a query belongs to the class with the nearest mean embedding (Snell et al. 2017)."""

import flax.linen as nn
import jax.numpy as jnp

from oplstm_jax.learners.arguments import checks_arguments
from oplstm_jax.learners.features import embed_query, embed_support, init_features
from oplstm_jax.losses import cross_entropy
from oplstm_jax.types import Array, Episode, Learner, Split


@checks_arguments
def protonet(features: nn.Module | None, loss_scale: bool = True) -> Learner:
    """Makes the learner.

    features: maps x [M, ...] to [M, d] (or more dimensions, which are flattened); None compares the inputs themselves.
    loss_scale: meta-trains on the mean cross entropy divided once more by N Q (the reference); False on the mean.

    params: features. There are no passes: info is {}. A class without a support example is never predicted;
    a query of one has an infinite loss.
    """

    def init(key, episode: Episode):
        return init_features(features, key, episode.support.x)[0]

    def adapt(params, support: Split, *, key=None):
        a, stats = embed_support(features, params, support.x)
        known = jnp.any(support.y != 0, 0)
        return {"prototypes": class_means(a, support.y), "known": known, "stats": stats}, {}

    def predict(params, fast, x):
        outputs = -squared_distances(embed_query(features, params, fast["stats"], x), fast["prototypes"])
        return jnp.where(fast["known"][None], outputs, jnp.finfo(outputs.dtype).min)

    def scaled_objective(params, episode: Episode, *, key=None):
        fast, _ = adapt(params, episode.support)
        outputs = predict(params, fast, episode.query.x)
        return cross_entropy(outputs, episode.query.y) / outputs.size, outputs

    return Learner(init, adapt, predict, scaled_objective if loss_scale else None)


def class_means(a: Array, y: Array) -> Array:
    """Mean features of each class: features a [M, d] and one-hot targets y [M, N] -> [N, d], 0 without examples."""
    counts = jnp.sum(y, 0)[:, None]
    return y.T @ a / jnp.where(counts == 0, 1, counts)


def squared_distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances of the rows of a [Q, d] and b [N, d]: [Q, N]."""
    return jnp.sum(jnp.square(a[:, None] - b[None]), -1)
