"""OP-LSTM on every layer of a fully connected base-learner (paper section 5).

Each pass runs the support set forward, then goes from the output layer down: the layer's update rule reads each unit's
activation and the message from above, and the mean outer product of what it emits with the layer's input is the update.
"""

import functools

from oplstm_jax.learners import fast_weights, op_pass
from oplstm_jax.learners.arguments import checks_arguments
from oplstm_jax.learners.rules import UpdateRule
from oplstm_jax.nets.dense import flat
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.types import Learner, Split


@checks_arguments
def op_lstm(
    base: MLP,
    passes: int,
    output_rule: UpdateRule | None = None,
    hidden_rule: UpdateRule | None = None,
    gamma: float | None = 0.025,
    backprop_through_predictions: bool = True,
    adapt_biases: bool = False,
    low_rank: bool | None = None,
    layer_gammas: bool = False,
) -> Learner:
    """Makes the learner.

    base: the base-learner, with `outputs` set; without batch normalisation its activations are what the rules read and
        what the outer products are taken with, with it the linear outputs before normalisation are (the reference).
    passes: T, passes over the support set.
    output_rule, hidden_rule: of the output layer and of all hidden layers; `coordinate_lstm((5, 5, 1))` if not given.
    gamma: start value of the meta-learned joint norm of a pass's updates; None uses updates as they are.
    backprop_through_predictions: False makes activations, predictions and messages constants as inputs of the rules.
    adapt_biases: also moves every layer's bias, by the mean output (times gamma where used).
    low_rank: keep the factors of the updates instead of adding them to the kernels; None chooses what is smaller.
    layer_gammas: every layer's update has a norm of its own, all started at gamma / sqrt(L); not in the paper.

    params: base, output_rule, hidden_rule and, where used, gamma [1], or [L] with layer_gammas.
    info per pass: updates (a tuple of [T, D_in, D_out] per layer, as applied), messages (a tuple of [T, M, D] per
    layer; the last is the target), outputs [T, M, C] before the update.
    """
    options = gamma, backprop_through_predictions, adapt_biases, low_rank, layer_gammas
    how = op_pass.layer_updates(base, output_rule, hidden_rule, *options)

    def adapt(params, support: Split, *, key=None):
        x = flat(support.x)
        fast, info = op_pass.run(how, params, lambda number: Split(x, support.y), x.shape[0], passes)
        return {"net": fast, "stats": fast_weights.support_stats(base, fast, x)}, info

    def predict(params, fast, x):
        return fast_weights.query(base, fast["net"], fast["stats"], x)

    return Learner(functools.partial(op_pass.init_params, how), adapt, predict)
