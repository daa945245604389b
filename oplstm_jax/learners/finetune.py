"""Fine-tuning: a classifier of all training classes whose last layer is trained anew for every task.

Meta-training sees other targets than adaptation. For meta-training, episodes carry one-hot targets over *all* training
classes, so that a class keeps its column from episode to episode. Validation and test episodes are like everybody's,
one-hot over the classes of the task, of any number.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from oplstm_jax.learners.arguments import checks_arguments
from oplstm_jax.learners.descent import descend, make_optimiser
from oplstm_jax.learners.features import embed_query, embed_support, init_features
from oplstm_jax.losses import cross_entropy
from oplstm_jax.nets.init import fan_in_bias, fan_in_kernel
from oplstm_jax.types import Array, Episode, Learner, Split


@checks_arguments
def finetune(
    features: nn.Module | None, classes: int, steps: int, learning_rate: float = 1e-2, optimiser: str = "adam"
) -> Learner:
    """Makes the learner.

    features: network trained by meta-training and frozen in adaptation; None classifies the inputs themselves.
    classes: number of training classes, the columns of the targets in meta-training.
    steps: optimiser steps on the task's last layer, which starts at zero, on the whole support set; counted as passes.
    optimiser: `adam` or `sgd`, for those steps.

    The objective is the mean cross entropy of support and query examples, each embedded as a batch of its own as in
    adaptation; its outputs are those of the query set.

    params: features and head {kernel [d, classes], bias [classes]}, which only meta-training uses.
    info per step: loss [T] and outputs [T, M, C] before it.
    """
    if steps < 0:
        raise ValueError(f"steps {steps}: expected 0 or more")
    if classes < 1:
        raise ValueError(f"classes is {classes}: expected the number of training classes")
    transform = make_optimiser(optimiser, learning_rate)

    def init(key, episode: Episode):
        keys = jax.random.split(key, 3)
        net, width = init_features(features, keys[0], episode.support.x)
        kernel = fan_in_kernel(keys[1], (width, classes))
        return {**net, "head": {"kernel": kernel, "bias": fan_in_bias(width)(keys[2], (classes,))}}

    def objective(params, episode: Episode, *, key=None):
        targets = jnp.concatenate((episode.support.y, episode.query.y))
        if targets.shape[1] != classes:
            raise ValueError(f"finetune is meta-trained on targets over all {classes} classes, not {targets.shape[1]}")
        seen, stats = embed_support(features, params, episode.support.x)
        asked = embed_query(features, params, stats, episode.query.x)
        outputs = _linear(params["head"], jnp.concatenate((seen, asked)))
        return cross_entropy(outputs, targets), outputs[len(seen) :]

    def adapt(params, support: Split, *, key=None):
        a, stats = embed_support(features, params, support.x)

        def support_loss(head):
            outputs = _linear(head, a)
            return cross_entropy(outputs, support.y), outputs

        ways = support.y.shape[1]
        start = {"kernel": jnp.zeros((a.shape[1], ways), a.dtype), "bias": jnp.zeros((ways,), a.dtype)}
        head, info = descend(support_loss, start, transform, steps)
        return {"head": head, "stats": stats}, info

    def predict(params, fast, x):
        return _linear(fast["head"], embed_query(features, params, fast["stats"], x))

    return Learner(init, adapt, predict, objective)


def _linear(head: dict, a: Array) -> Array:
    return a @ head["kernel"] + head["bias"][None]
