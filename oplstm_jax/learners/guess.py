"""Random guessing: the score of knowing nothing."""

import jax
import jax.numpy as jnp

from oplstm_jax.learners.arguments import checks_arguments
from oplstm_jax.types import Episode, Learner, Split


@checks_arguments
def random_guess() -> Learner:
    """Makes the learner: logits U(0, 1) drawn from the key that `adapt` needs, whatever the support set says.

    params: {}, nothing is meta-learned. There are no passes: info is {}.
    """

    def init(key, episode: Episode):
        return {}

    def adapt(params, support: Split, *, key=None):
        if key is None:
            raise ValueError("random guesses: adapt needs a key")
        return {"key": key, "outputs": jnp.zeros_like(support.y[0])}, {}

    def predict(params, fast, x):
        shape = (x.shape[0], *fast["outputs"].shape)
        return jax.random.uniform(jax.random.fold_in(fast["key"], 0), shape, fast["outputs"].dtype)

    return Learner(init, adapt, predict)
