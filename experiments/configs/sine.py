"""Few-shot sine regression with the authors' settings.

    python -m experiments.train --config=experiments/configs/sine.py:op_lstm,shot=5 --workdir=runs/sine

The argument after the colon is a learner (lstm, pi_lstm, op_lstm, maml, scratch, random) and, optionally, fields.

Test mean squared error reached at 5 / 10 / 20 shots (results/sine), and the minutes of the fastest recorded run
on a CPU:

    lstm     0.055 / 0.015 / 0.006    0.4 / 0.6 / 1
    pi_lstm  0.041 / 0.015 / 0.007    0.3 / 0.4 / 0.5
    op_lstm  0.106 / 0.005 / 0.004    6 / 6 / 12
    maml     0.192 / 0.027 / 0.006    1.5 / 1.9 / 2.3
"""

from experiments.configs.base import FLOOR_OPTIONS, FLOORS, base_config, configure

LEARNERS = {
    "lstm": {"learning_rate": 0.004673978383086751, "meta_batch": 4, "passes": 4, "base": "none"},
    "pi_lstm": {"learning_rate": 0.004673978383086751, "meta_batch": 4, "passes": 4, "base": "none"},
    "op_lstm": {"learning_rate": 0.0010448688371510757, "meta_batch": 1, "passes": 9},
    "maml": {"learning_rate": 0.0032937018686863585, "meta_batch": 2, "passes": 14, "outer_clip": 10.0},
    "scratch": FLOORS["scratch"],
    "random": FLOORS["random"],
}
OPTIONS = {
    "lstm": {"sizes": (40, 40), "inputs": "target"},
    "pi_lstm": {"sizes": (40, 40), "pool": "hidden", "first_pass_targets": False},
    "op_lstm": {"sizes": (5, 5, 1), "gamma": 0.025, "backprop_through_predictions": True, "adapt_biases": False},
    "maml": {"inner_lr": 0.003769030557807799, "second_order": True, "clip": 10.0},
    "scratch": FLOOR_OPTIONS["scratch"] | {"learning_rate": 1e-2},
    "random": FLOOR_OPTIONS["random"],
}


def get_config(argument: str = "op_lstm"):
    """The configuration of one learner: "op_lstm" or "op_lstm,shot=10"."""
    config = base_config()
    config.data, config.base, config.norm = "sine", "mlp", "none"
    config.hidden = (91, 91, 91)
    config.way, config.shot, config.query, config.test_query = 1, 5, 50, 50
    config.train_tasks, config.validate_every, config.log_every = 70_000, 2_500, 500
    config.validation_tasks, config.test_tasks, config.patience_tasks = 1_000, 2_000, 20_000
    return configure(config, argument, LEARNERS, OPTIONS)
