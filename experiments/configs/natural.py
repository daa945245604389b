"""Few-shot natural images with Conv-4 at 84x84 and the authors' settings for miniImageNet and CUB.

    python -m oplstm_jax.data prepare cub
    python -m experiments.train --config=experiments/configs/natural.py:op_lstm_head,data=cub,shot=5 --workdir=runs/cub

The argument after the colon is a learner and, optionally, fields; `data` is a prepared set, a pack or a folder. What
the paper reached at 1 / 5 shots on miniImageNet: op_lstm_head 51.9 / 67.9, maml 48.6 / 63.0, protonet 50.1 / 65.4,
sap 53.0 / 67.6, warp_maml 50.4 / 65.6, pi_lstm 20.3 / 19.9 %. Full budgets are for a GPU.
"""

from experiments.configs.base import FLOOR_OPTIONS, FLOORS, base_config, configure

LEARNERS = {
    "op_lstm_head": {"learning_rate": 2.5e-4, "meta_batch": 4, "passes": 3},
    "maml": {"learning_rate": 1e-3, "meta_batch": 4, "passes": 5, "eval_passes": 10, "outer_clip": 10.0},
    "protonet": {"learning_rate": 2.5e-4, "meta_batch": 4, "passes": 0},
    "sap": {"learning_rate": 1e-3, "meta_batch": 4, "passes": 1, "eval_passes": 10, "validate_every": 2_500},
    "warp_maml": {
        "learning_rate": 1e-3,
        "meta_batch": 1,
        "passes": 5,
        "train_shot": 5,
        "train_tasks": 60_000,
        "validate_every": 2_500,
    },
    "pi_lstm": {
        "learning_rate": 6.9e-5,
        "meta_batch": 32,
        "passes": 3,
        "train_tasks": 2_560_000,
        "validate_every": 80_000,
    },
    **FLOORS,
}
OPTIONS = {
    "op_lstm_head": {"sizes": (40, 20, 1), "gamma": 0.025, "backprop_through_predictions": False},
    "maml": {"inner_lr": 0.01, "second_order": True, "clip": 10.0},
    "protonet": {},
    "sap": {"inner_lr": 0.0360774985854036, "clip": 10.0},
    "warp_maml": {"inner_lr": 0.1, "warp_start": "identity"},
    "pi_lstm": {"sizes": (1904, 1904), "pool": "hidden", "first_pass_targets": True},
    **FLOOR_OPTIONS,
}


def get_config(argument: str = "op_lstm_head"):
    """The configuration of one learner: "op_lstm_head" or "protonet,data=cub,shot=5"."""
    config = base_config()
    config.data, config.base, config.norm, config.filters = "miniimagenet", "conv4", "transductive", 64
    config.image_size = 84
    config.train_tasks, config.validate_every, config.log_every = 320_000, 10_000, 1_000
    config.patience_tasks = 100_000
    if argument.partition(",")[0] == "sap":  # 60 000 with 1 shot and 40 000 with more, until it is set itself
        config.train_tasks = 40_000 + 20_000 * (2 // (config.get_ref("shot") ** 2 + 1))
    return configure(config, argument, LEARNERS, OPTIONS)
