"""What it costs to move more layers: training tasks per second of processor time of OP-LSTM on Conv-4.

    python -m benchmarks.scopes

Processor time rather than wall time, so that other work on the machine changes it little. The rates that
`experiments/configs/convolutions.py` compares at equal time come from here.
"""

import time

import jax
import optax

from experiments.configs import convolutions
from experiments.run import plain
from oplstm_jax import build
from oplstm_jax.losses import accuracy, cross_entropy
from oplstm_jax.meta import init_state, make_chunk, make_step

STEPS, REPEATS = 10, 3


def main() -> None:
    for variant in convolutions.VARIANTS:
        print(f"{variant}: {rate(plain(convolutions.get_config(variant))):.0f} tasks per second")


def rate(config: dict) -> float:
    """Training tasks per second of processor time, the best of several chunks after one that compiles."""
    settings = build.build_settings(config)
    learner, optimiser = build.build_learner(config, config["passes"]), optax.adam(settings.learning_rate)
    sampler, run_key = build.build_sampler(config, "train"), jax.random.key(2)
    chunk = make_chunk(
        make_step(learner, cross_entropy, accuracy, optimiser, settings.meta_batch, settings.tasks_at_once)
    )
    state = init_state(learner, optimiser, jax.random.key(0), sampler(jax.random.key(1)))
    state, _ = jax.block_until_ready(chunk(state, run_key, 1, sampler))
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        state, _ = jax.block_until_ready(chunk(state, run_key, STEPS, sampler))
        seconds.append(time.process_time() - start)
    return STEPS * settings.meta_batch / min(seconds)


if __name__ == "__main__":
    main()
