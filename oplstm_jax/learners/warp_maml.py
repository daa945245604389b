"""Warp-MAML: MAML on a network whose warp layers shape the gradients and stay (Flennerhag et al. 2020)."""

import jax
import jax.numpy as jnp

from oplstm_jax.learners.arguments import check_conv4, checks_arguments
from oplstm_jax.learners.inner_loop import InnerLoop, gradient_learner, inner_step, kept_or_recomputed
from oplstm_jax.nets.norm import apply_query, apply_support
from oplstm_jax.nets.warp_conv4 import WarpConv4
from oplstm_jax.types import Episode, Learner, Loss, Params


@checks_arguments
def warp_maml(
    net: WarpConv4, loss: Loss, passes: int, inner_lr: float, clip: float | None = None, recompute: bool = False
) -> Learner:
    """Makes the learner.

    net: with `outputs` set; all of it adapts but block 0 (`conv_0`, `norm_0`) and the warp layers.
    passes: T, inner gradient steps, second order. inner_lr, clip, recompute: see `InnerLoop`.

    The objective is the sum over t = 1..T of the query loss after t steps. In the t-th, warp layers have a gradient
    through step t and the query pass only; in earlier steps they are constants. Its outputs are those after step T.

    params, info: see `gradient_learner`. Raises ValueError for other networks.
    """
    check_conv4(net, WarpConv4)
    loop = InnerLoop(net, loss, inner_lr, True, clip, _adapts, recompute)

    def objective(params: Params, episode: Episode, *, key=None):
        def one_pass(before, _):
            after, _ = inner_step(loop, {**before, **_warps(params)}, episode.support)
            outputs = query_outputs(after, episode)
            constant, _ = inner_step(loop, before, episode.support)
            return constant, (loss(outputs, episode.query.y), outputs)

        if passes == 0:
            outputs = query_outputs(params, episode)
            return loss(outputs, episode.query.y), outputs
        start = {**params, **jax.lax.stop_gradient(_warps(params))}
        _, (losses, outputs) = jax.lax.scan(kept_or_recomputed(loop, one_pass), start, length=passes)
        return jnp.sum(losses), outputs[-1]

    def query_outputs(weights: Params, episode: Episode):
        _, stats = apply_support(net, weights, episode.support.x)
        return apply_query(net, weights, stats, episode.query.x)

    return gradient_learner(loop, passes, objective)


def _adapts(path: str) -> bool:
    return path.split("/")[0] not in ("conv_0", "norm_0") and not path.startswith("warp_")


def _warps(params: Params) -> Params:
    return {name: value for name, value in params.items() if name.startswith("warp_")}
