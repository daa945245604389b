"""OP-LSTM with settings found beyond the paper, on the paper's problems.

    python -m experiments.train --config=experiments/configs/op_lstm_best.py:sine,shot=5 --workdir=runs/best

The argument after the colon is a problem (sine, omniglot, omniglot_conv4) and, optionally, fields. What differs from
the authors' settings was chosen by validation scores: `python -m experiments.sweep search` and `search_omniglot`
(results/beyond/search, search_muon and search_omniglot). `python -m experiments.reproduce best_sine` and so on test it
beside the authors' (results/best_sine ...).
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from experiments.configs import omniglot, omniglot_conv4, sine
from experiments.overrides import assign, split

# Of each problem: the authors' configuration, and what is changed in it.
PROBLEMS: dict[str, tuple[Callable[[str], ConfigDict], str, dict]] = {
    "sine": (
        sine.get_config,
        "op_lstm",
        {"optimiser": "muon", "final_learning_rate": 0.0, "options.gamma": 0.1},
    ),
    "omniglot": (
        omniglot.get_config,
        "op_lstm",
        {
            "learning_rate": 1e-3,
            "final_learning_rate": 0.0,
            "options.gamma": 0.025,
            "options.layer_gammas": True,
            "train_tasks": 80_000,
        },
    ),
    "omniglot_conv4": (
        omniglot_conv4.get_config,
        "op_lstm_head",
        {"learning_rate": 1e-3, "final_learning_rate": 0.0, "options.gamma": 0.025},
    ),
}


def get_config(argument: str = "sine"):
    """The configuration of one problem: "sine" or "omniglot,shot=5"."""
    name, *assignments = split(argument)
    if name not in PROBLEMS:
        raise ValueError(f"unknown problem {name!r}: expected one of {', '.join(PROBLEMS)}")
    authors, learner, changes = PROBLEMS[name]
    config = authors(learner)
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    return assign(config, assignments)
