"""Other base-learners than the paper's, small: the same nets under OP-LSTM, ProtoNet and MAML on equally many tasks.

    python -m experiments.train --config=experiments/configs/base_learners.py:op_lstm_general --workdir=runs/conv4
    python -m experiments.train --config=experiments/configs/base_learners.py:maml,base=vit,norm=layer --workdir=runs/v

The argument after the colon is a learner and, optionally, fields; `BASES` holds those of each base-learner. 2 000
training tasks are what two CPU cores do in minutes, and tell of early learning alone.
"""

from typing import Any

from experiments.configs.base import base_config, configure

BASES: dict[str, dict[str, Any]] = {
    "conv4": {"base": "conv4", "filters": 16},
    "resnet12": {"base": "resnet12", "filters": 8},
    "vit": {"base": "vit", "norm": "layer"},
    "vit, means normalised": {"base": "vit", "norm": "transductive"},
}
LEARNERS = {
    "op_lstm_head": {"passes": 3},
    "op_lstm_general": {"passes": 3},
    "maml": {"passes": 1, "eval_passes": 3},
    "protonet": {"passes": 0},
}
OP_LSTM = {"sizes": (20, 20, 1), "gamma": 0.025, "backprop_through_predictions": True}
OPTIONS = {
    "op_lstm_head": OP_LSTM,
    "op_lstm_general": {**OP_LSTM, "frozen": 0},
    "maml": {"inner_lr": 0.1, "second_order": True, "clip": None},
    "protonet": {},
}


def get_config(argument: str = "op_lstm_general"):
    """The configuration of one learner: "op_lstm_general" or "maml,base=resnet12,data=omniglot"."""
    config = base_config()
    config.data, config.base, config.norm, config.filters = "glyphs", "conv4", "transductive", 16
    config.learning_rate, config.meta_batch, config.query = 1e-3, 4, 5
    config.train_tasks, config.validate_every, config.log_every = 2_000, 250, 250
    config.validation_tasks, config.test_tasks = 200, 600
    return configure(config, argument, LEARNERS, OPTIONS)
