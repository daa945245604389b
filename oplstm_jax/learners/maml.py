"""MAML: gradient steps on the support loss from meta-learned initial weights (Finn et al. 2017)."""

import flax.linen as nn

from oplstm_jax.learners.arguments import checks_arguments
from oplstm_jax.learners.inner_loop import InnerLoop, gradient_learner
from oplstm_jax.types import Learner, Loss


@checks_arguments
def maml(
    net: nn.Module,
    loss: Loss,
    passes: int,
    inner_lr: float,
    second_order: bool = True,
    clip: float | None = None,
    recompute: bool = False,
    low_rank: bool | None = None,
) -> Learner:
    """Makes the learner.

    net: maps x [M, ...] to outputs [M, C]; all of its parameters adapt, those of normalisation layers too.
    passes: T, inner gradient steps. inner_lr, second_order, clip, recompute, low_rank: see `InnerLoop`.

    params, info: see `gradient_learner`.
    """
    loop = InnerLoop(net, loss, inner_lr, second_order, clip, lambda path: True, recompute, low_rank)
    return gradient_learner(loop, passes)
