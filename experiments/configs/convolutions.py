"""How many layers of Conv-4 OP-LSTM should move: the last alone, the last block too, or all of them.

    python -m experiments.train --config=experiments/configs/convolutions.py:all_layers --workdir=runs/all_layers

The argument after the colon is a variant of `op_lstm_general` and, optionally, fields (`data=omniglot`). Conv-4 has one
dense layer, so all of its dense layers are the last. 2 000 training tasks are what two CPU cores do in minutes.
"""

from experiments.configs.base import base_config, configure

VARIANTS = {"head_only": 4, "last_block": 3, "all_layers": 0}  # layers that are frozen
SETTINGS = {"learner": "op_lstm_general", "learning_rate": 1e-3, "meta_batch": 4, "passes": 3}
LEARNERS = dict.fromkeys(VARIANTS, SETTINGS)
OPTIONS = {
    name: {"sizes": (20, 20, 1), "gamma": 0.025, "backprop_through_predictions": True, "frozen": frozen}
    for name, frozen in VARIANTS.items()
}
# Training tasks per second of processor time on glyphs, one core of a 2-core x86_64: `python -m benchmarks.scopes`.
RATES = {"head_only": 192, "last_block": 162, "all_layers": 49}


def get_config(argument: str = "all_layers"):
    """The configuration of one variant: "all_layers" or "head_only,data=omniglot"."""
    config = base_config()
    config.data, config.base, config.norm, config.filters = "glyphs", "conv4", "transductive", 16
    config.image_size, config.query = 28, 5
    config.train_tasks, config.validate_every, config.log_every = 2_000, 250, 250
    config.validation_tasks, config.test_tasks = 200, 600
    return configure(config, argument, LEARNERS, OPTIONS)


def get_config_of_equal_time(argument: str = "all_layers"):
    """The same with as many training tasks as the variant does while `all_layers` does its own."""
    config = get_config(argument)
    ratio = RATES[argument.partition(",")[0]] / RATES["all_layers"]
    config.train_tasks, config.validate_every = (round(ratio * n) for n in (config.train_tasks, config.validate_every))
    return config
