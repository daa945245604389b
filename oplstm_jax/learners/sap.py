"""SAP: gradient steps on transforms of a network whose own weights stay (Huisman, Plaat & van Rijn 2022)."""

from oplstm_jax.learners.arguments import check_conv4, checks_arguments
from oplstm_jax.learners.inner_loop import InnerLoop, gradient_learner
from oplstm_jax.nets.sap_conv4 import TRANSFORMS, SapConv4
from oplstm_jax.types import Learner, Loss


@checks_arguments
def sap(
    net: SapConv4, loss: Loss, passes: int, inner_lr: float, clip: float | None = 10.0, recompute: bool = False
) -> Learner:
    """Makes the learner.

    net: its transforms and its last linear layer adapt; its other weights and the strengths, with which transforms are
        mixed with the identity, are meta-learned only.
    passes: T, inner gradient steps, second order. inner_lr, clip, recompute: see `InnerLoop`.

    params, info: see `gradient_learner`. Raises ValueError for other networks and for transforms that do not exist.
    """
    check_conv4(net, SapConv4)
    if unknown := sorted(set(net.transforms) - set(TRANSFORMS)):
        raise ValueError(f"unknown transform {unknown[0]!r}: expected some of {', '.join(TRANSFORMS)}")
    return gradient_learner(InnerLoop(net, loss, inner_lr, True, clip, _adapts, recompute), passes)


def _adapts(path: str) -> bool:
    part, name = path.split("/")
    return not (part.startswith(("conv_", "norm_")) or "strength" in name)
