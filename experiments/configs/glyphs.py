"""Few-shot classification of the built-in glyphs: Omniglot's networks on data that needs no download.

    python -m experiments.train --config=experiments/configs/glyphs.py:op_lstm_head --workdir=runs/glyphs
"""

from experiments.configs.base import FLOOR_OPTIONS, FLOORS, base_config, configure

LEARNERS = {
    "pi_lstm": {"learning_rate": 1e-3, "meta_batch": 4, "passes": 3},
    "op_lstm_head": {"learning_rate": 1e-3, "meta_batch": 4, "passes": 3},
    "protonet": {"learning_rate": 1e-3, "meta_batch": 4, "passes": 0},
    "maml": {"learning_rate": 1e-3, "meta_batch": 4, "passes": 1, "eval_passes": 3},
    **FLOORS,
}
OPTIONS = {
    "pi_lstm": {"sizes": (128,), "pool": "hidden", "first_pass_targets": True},
    "op_lstm_head": {"sizes": (20, 20, 1), "gamma": 0.025, "backprop_through_predictions": True},
    "protonet": {},
    "maml": {"inner_lr": 0.1, "second_order": True, "clip": None},
    **FLOOR_OPTIONS,
}


def get_config(argument: str = "op_lstm_head"):
    """The configuration of one learner: "op_lstm_head" or "protonet,shot=5"."""
    config = base_config()
    config.data, config.base, config.norm, config.filters = "glyphs", "conv4", "transductive", 16
    config.hidden = (256, 128, 64, 64)
    config.query = config.test_query = 5
    config.train_tasks, config.validate_every, config.log_every = 40_000, 4_000, 400
    config.validation_tasks, config.test_tasks, config.patience_tasks = 100, 400, 20_000
    return configure(config, argument, LEARNERS, OPTIONS)
