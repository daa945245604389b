"""MAML: gradient steps on the support loss from meta-learned initial weights (Finn et al. 2017; SPEC §4)."""

import flax.linen as nn

from oplstm_jax.learners.inner_loop import InnerLoop, check_passes, inner_predict, inner_steps
from oplstm_jax.types import Episode, Learner, Loss, Params, Split


def maml(
    net: nn.Module, loss: Loss, passes: int, inner_lr: float, second_order: bool = True, clip: float | None = None
) -> Learner:
    """Makes the learner.

    net: maps x [M, ...] to outputs [M, C]; all of its parameters adapt, those of normalisation layers too.
    passes: T, inner gradient steps. inner_lr, second_order, clip: see `InnerLoop`.

    params: those of the network. info per pass: loss [T] and outputs [T, M, C] before the step, updates (a tree of
    [T, ...]) as applied.
    """
    check_passes(passes)
    loop = InnerLoop(net, loss, inner_lr, second_order, clip, adapted=lambda path: True)

    def init(key, episode: Episode):
        return net.init(key, episode.support.x)["params"]

    def adapt(params: Params, support: Split, *, key=None):
        return inner_steps(loop, params, support, passes)

    def predict(params, fast, x):
        return inner_predict(loop, fast, x)

    return Learner(init, adapt, predict)
