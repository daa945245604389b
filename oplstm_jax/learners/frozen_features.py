"""A learner on features that somebody else has trained and that stay as they are. Beyond the paper."""

from oplstm_jax.types import Learner, Params


def frozen_features(learner: Learner, features: Params) -> Learner:
    """The learner without `features` among its meta-parameters: they are these, whatever is meta-learned.

    learner: one that keeps its network's parameters under `features` (`oplstm_jax.learners.features`) and has no
    objective of its own. features: of the network it was made on.

    `init` raises ValueError for a learner without a network.
    """
    if learner.objective is not None:
        raise ValueError("features are frozen for learners that are meta-trained on the query loss alone")

    def init(key, episode):
        params = learner.init(key, episode)
        if "features" not in params:
            raise ValueError("this learner has no features to freeze: expected one that is made on a network")
        return {name: value for name, value in params.items() if name != "features"}

    def adapt(params, support, *, key=None):
        return learner.adapt({**params, "features": features}, support, key=key)

    def predict(params, fast, x):
        return learner.predict({**params, "features": features}, fast, x)

    return Learner(init, adapt, predict)
