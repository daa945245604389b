"""What it costs to move more layers: training tasks per second of processor time of OP-LSTM on Conv-4.

    taskset -c 0 python -m benchmarks.scopes

Processor time of one core rather than wall time, so that other work on the machine changes it little. The rates by which
`experiments/configs/convolutions.py` compares at equal time come from here.
"""

from benchmarks.measure import compare, training
from experiments import cli
from experiments.configs import convolutions
from experiments.run import plain

SECONDS = 10.0


def main() -> None:
    for variant in convolutions.VARIANTS:
        work = training(plain(convolutions.get_config(variant)))
        found = compare({variant: work}, SECONDS)[variant]
        print(f"{variant}: {found.per_core_second:.0f} tasks per second", flush=True)


if __name__ == "__main__":
    cli.run(main)
