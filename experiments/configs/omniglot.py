"""Few-shot Omniglot with the authors' settings: the fully connected base-learner or raw pixels.

    python -m oplstm_jax.data prepare omniglot
    python -m experiments.train --config=experiments/configs/omniglot.py:op_lstm,shot=1 --workdir=runs/omniglot

The argument after the colon is a learner and, optionally, fields. `--config.data=PACK.npz` takes the images from a
pack instead; `--config.test_query=1` (k per class) is the published within-domain protocol. Published test accuracy
at 1 / 5 shots: op_lstm 84.3 / 91.8, maml 84.1 / 93.5, protonet 83.6 / 93.4, pi_lstm 72.6 / 84.8 %.
"""

from experiments.configs.base import FLOOR_OPTIONS, FLOORS, base_config, configure

PLAIN = {
    "base": "none",
    "norm": "none",
    "learning_rate": 8.3333e-5,
    "meta_batch": 12,
    "passes": 3,
    "train_tasks": 960_000,
    "validate_every": 30_000,
}
LEARNERS = {
    "lstm": PLAIN,
    "pi_lstm": PLAIN,
    "op_lstm": {"learning_rate": 2.5e-4, "meta_batch": 4, "passes": 1},
    "maml": {
        "learning_rate": 3.125e-5,
        "meta_batch": 32,
        "passes": 1,
        "eval_passes": 3,
        "train_tasks": 2_560_000,
        "validate_every": 80_000,
    },
    "protonet": {"learning_rate": 2.5e-4, "meta_batch": 4, "passes": 0},
    **FLOORS,
}
WIDTHS = (1024, 600, 400, 200, 92)
OPTIONS = {
    "lstm": {"sizes": WIDTHS, "inputs": "target"},
    "pi_lstm": {"sizes": WIDTHS, "pool": "hidden", "first_pass_targets": True},
    "op_lstm": {"sizes": (5, 5, 1), "gamma": None, "backprop_through_predictions": True, "adapt_biases": False},
    "maml": {"inner_lr": 0.4, "second_order": True, "clip": None},
    "protonet": {},
    **FLOOR_OPTIONS,
}


def get_config(argument: str = "op_lstm"):
    """The configuration of one learner: "op_lstm" or "op_lstm,shot=5"."""
    config = base_config()
    config.data, config.base, config.norm = "omniglot", "mlp", "transductive"
    config.hidden = (256, 128, 64, 64)
    config.train_tasks, config.validate_every, config.log_every = 320_000, 10_000, 2_000
    config.patience_tasks = 40_000
    return configure(config, argument, LEARNERS, OPTIONS)
