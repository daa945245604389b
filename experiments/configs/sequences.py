"""Few-shot tasks whose support set is a sequence: trajectory, drift, latest (`oplstm_jax.data.sequences`).

    python -m experiments.train --config=experiments/configs/sequences.py:op_lstm_sequential,data=drift
        [--config.position=True] --workdir=runs/drift

The argument after the colon is a learner (lstm, pi_lstm, op_lstm, op_lstm_sequential) and, optionally, fields. All
learners see the same number of training tasks, and settings were not tuned. `python -m experiments.reproduce order`
trains them all; what they reach is in results/beyond/order.
"""

from experiments.configs.base import base_config, configure

OUTER_PRODUCTS = {"sizes": (5, 5, 1), "gamma": 0.1, "backprop_through_predictions": True, "adapt_biases": True}
PLAIN = {"base": "none", "learning_rate": 5e-3, "passes": 2}
LEARNERS = {
    "lstm": PLAIN,
    "pi_lstm": PLAIN,
    "op_lstm": {"learning_rate": 5e-3, "passes": 4},
    "op_lstm_sequential": {"learning_rate": 5e-3, "passes": 1},
}
OPTIONS = {
    "lstm": {"sizes": (32,), "inputs": "target"},
    "pi_lstm": {"sizes": (32,), "pool": "hidden", "first_pass_targets": True},
    "op_lstm": OUTER_PRODUCTS,
    "op_lstm_sequential": OUTER_PRODUCTS,
}


def get_config(argument: str = "op_lstm_sequential"):
    """The configuration of one learner: "op_lstm" or "op_lstm_sequential,data=latest,way=5,shot=2"."""
    config = base_config()
    config.data, config.base, config.norm = "drift", "mlp", "none"
    config.hidden = (16,)
    config.way, config.shot, config.query, config.test_query = 1, 10, 20, 20
    config.meta_batch = 4
    config.train_tasks, config.validate_every, config.log_every = 8_000, 2_000, 1_000
    config.validation_tasks, config.test_tasks, config.patience_tasks = 200, 600, 6_000
    return configure(config, argument, LEARNERS, OPTIONS)
