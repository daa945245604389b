"""The feature extractor in front of a learner: a network trained jointly, or None for the flattened inputs.

The learner keeps the network's parameters under `features` in its own tree.
"""

import flax.linen as nn
import jax

from oplstm_jax.nets.dense import flat
from oplstm_jax.nets.norm import Stats, apply_query, apply_support
from oplstm_jax.types import Array, Params


def init_features(features: nn.Module | None, key: Array, x: Array) -> tuple[dict, int]:
    """({"features": parameters}, or {} without a network, and the number of features F) for inputs x [M, ...]."""
    params = {} if features is None else {"features": features.init(key, x).get("params", {})}
    return params, jax.eval_shape(lambda p, x: embed_support(features, p, x)[0], params, x).shape[1]


def embed_support(features: nn.Module | None, params: Params, x: Array) -> tuple[Array, Stats]:
    """Features [M, F] of support inputs x [M, ...], and the statistics `embed_query` may need."""
    if features is None:
        return flat(x), {}
    x, stats = apply_support(features, params["features"], x)
    return flat(x), stats


def embed_query(features: nn.Module | None, params: Params, stats: Stats, x: Array) -> Array:
    """Features [Q, F] of query inputs x [Q, ...]."""
    return flat(x if features is None else apply_query(features, params["features"], stats, x))

