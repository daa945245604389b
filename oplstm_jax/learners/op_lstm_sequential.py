"""OP-LSTM without pooling: one update after each example, in the order of the support set. Beyond the paper.

A pass of `op_lstm` averages the outer products of all examples; here every example is a pass of its own, so the weights
that the next example meets have moved, and the rules' states run on from example to example as those of `lstm` do.
"""

import functools

import jax

from oplstm_jax.learners import fast_weights, op_pass
from oplstm_jax.learners.arguments import checks_arguments
from oplstm_jax.learners.rules import UpdateRule
from oplstm_jax.nets.dense import flat
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.norm import OF_BATCHES
from oplstm_jax.types import Learner, Split


@checks_arguments
def op_lstm_sequential(
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

    base: the base-learner, with `outputs` set and no batch normalisation: one example has no batch statistics.
    passes: T, passes over the support set, each of M updates.
    The other arguments as for `op_lstm`; gamma is the norm of every one of the T M updates.

    params: as for `op_lstm`. info per pass: updates (a tuple of [T, M, D_in, D_out] per layer), messages (a tuple of
    [T, M, D] per layer) and outputs [T, M, C], of each example before its update. Raises ValueError for a base-learner
    with batch normalisation.
    """
    if base.norm in OF_BATCHES:
        raise ValueError(f"norm is {base.norm}: op_lstm_sequential sees one example at a time: expected layer or none")
    options = gamma, backprop_through_predictions, adapt_biases, low_rank, layer_gammas
    how = op_pass.layer_updates(base, output_rule, hidden_rule, *options)

    def adapt(params, support: Split, *, key=None):
        x, examples = flat(support.x), support.x.shape[0]

        def example(number):
            rows = support._replace(x=x)
            return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, number % examples), rows)

        fast, info = op_pass.run(how, params, example, 1, passes * examples)
        info = {**info, "messages": tuple(m[:, 0] for m in info["messages"]), "outputs": info["outputs"][:, 0]}
        return {"net": fast, "stats": {}}, jax.tree.map(lambda a: a.reshape(passes, examples, *a.shape[1:]), info)

    def predict(params, fast, x):
        return fast_weights.query(base, fast["net"], fast["stats"], x)

    return Learner(functools.partial(op_pass.init_params, how), adapt, predict)
