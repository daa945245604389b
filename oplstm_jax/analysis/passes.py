"""How a learner of fast weights scores after every one of its passes, from one adaptation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from oplstm_jax.analysis.fast_network import fast_network, kernels, outputs_of_kernels
from oplstm_jax.types import Array, Episode, Learner, Loss, Params


def make_scores_by_pass(learner: Learner, unlearned: Learner, score: Loss) -> Callable[[Params, Episode], Array]:
    """(params, episode) -> scores [T + 1] on the query set of `op_lstm`: before learning and after each of T passes.

    unlearned: the learner made with no passes. The learner must not adapt biases, which `info` does not tell of.

    Raises ValueError for a network with `norm="support"`.
    """

    def scores(params: Params, episode: Episode) -> Array:
        before = fast_network(unlearned, params, unlearned.adapt(params, episode.support)[0])
        start = kernels(before.weights)
        updates = dict(zip(start, learner.adapt(params, episode.support)[1]["updates"], strict=True))
        moved = jax.tree.map(lambda u: jnp.concatenate((jnp.zeros_like(u[:1]), jnp.cumsum(u, 0))), updates)

        def after(change: dict[str, Array]) -> Array:
            outputs = outputs_of_kernels(before, jax.tree.map(jnp.add, start, change), episode.query.x)
            return score(outputs, episode.query.y)

        return jax.vmap(after)(moved)

    return scores
