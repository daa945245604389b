"""SAP: gradient steps on transforms of a network whose own weights stay (Huisman, Plaat & van Rijn 2022; SPEC §4)."""

from oplstm_jax.learners.inner_loop import InnerLoop, check_passes, inner_predict, inner_steps
from oplstm_jax.nets.sap_conv4 import TRANSFORMS, SapConv4
from oplstm_jax.types import Episode, Learner, Loss, Params, Split


def sap(net: SapConv4, loss: Loss, passes: int, inner_lr: float, clip: float | None = 10.0) -> Learner:
    """Makes the learner.

    net: its transforms and its last linear layer adapt; its other weights and the strengths, with which transforms are
        mixed with the identity, are meta-learned only.
    passes: T, inner gradient steps, second order. inner_lr, clip: see `InnerLoop`.

    params: those of the network. info per pass: as of MAML. Raises ValueError for transforms that do not exist.
    """
    check_passes(passes)
    if unknown := sorted(set(net.transforms) - set(TRANSFORMS)):
        raise ValueError(f"unknown transform {unknown[0]!r}: expected some of {', '.join(TRANSFORMS)}")
    loop = InnerLoop(net, loss, inner_lr, second_order=True, clip=clip, adapted=_adapts)

    def init(key, episode: Episode):
        return net.init(key, episode.support.x)["params"]

    def adapt(params: Params, support: Split, *, key=None):
        return inner_steps(loop, params, support, passes)

    def predict(params, fast, x):
        return inner_predict(loop, fast, x)

    return Learner(init, adapt, predict)


def _adapts(path: str) -> bool:
    part, name = path.split("/")
    return not (part.startswith(("conv_", "norm_")) or "strength" in name)
