"""Few-shot Omniglot on Conv-4: the setting of the authors' tuning runs.

    python -m oplstm_jax.data prepare omniglot
    python -m experiments.train --config=experiments/configs/omniglot_conv4.py:op_lstm_head --workdir=runs/conv4

The argument after the colon is a learner and, optionally, fields. Published anchors for 5-way 1-shot: MAML 98.7,
ProtoNet 98.8, OP-LSTM 98.4 % (validation score of the authors' tuning run). Of those runs OP-LSTM's rate,
batch, passes and widths are known, and that predictions are back-propagated; the number of tasks, `gamma` and the rows
of the other learners are the library's choice.
"""

from experiments.configs.base import FLOOR_OPTIONS, FLOORS, base_config, configure

LEARNERS = {
    "op_lstm_head": {"learning_rate": 2.5e-4, "meta_batch": 4, "passes": 5},
    "protonet": {"learning_rate": 2.5e-4, "meta_batch": 4, "passes": 0},
    "maml": {"learning_rate": 1e-3, "meta_batch": 4, "passes": 1, "eval_passes": 3},
    **FLOORS,
}
OPTIONS = {
    "op_lstm_head": {"sizes": (20, 20, 20, 1), "gamma": None, "backprop_through_predictions": True},
    "protonet": {},
    "maml": {"inner_lr": 0.4, "second_order": True, "clip": None},
    **FLOOR_OPTIONS,
}


def get_config(argument: str = "op_lstm_head"):
    """The configuration of one learner: "op_lstm_head" or "protonet,shot=5"."""
    config = base_config()
    config.data, config.base, config.norm, config.filters = "omniglot", "conv4", "transductive", 64
    config.train_tasks, config.validate_every, config.log_every = 320_000, 2_000, 400
    config.patience_tasks = 20_000
    return configure(config, argument, LEARNERS, OPTIONS)
