"""Meta-trains one learner and tests it.

    python -m experiments.train --config=experiments/configs/sine.py:op_lstm,shot=5 --workdir=runs/sine
        [--config.seed=1 --config.train_tasks=7000 ...] [--check]

The workdir ends up holding metrics.jsonl, checkpoints/, params.npz and result.json. An interrupted run goes on where
it was when the same command is given again; a finished one prints its result. With --check JAX stops where a NaN arises or a random
key is used twice, and shapes and dtypes of every task are asserted: slow, for finding what is wrong.
"""

from absl import flags
from ml_collections import config_flags

from experiments import cli
from experiments.run import describe, run_config
from oplstm_jax import check

config_flags.DEFINE_config_file("config", None, "Configuration file, with :learner,field=value after it.")
flags.DEFINE_string("workdir", None, "Folder of the run; made if it is not there.")
flags.DEFINE_bool("check", False, "Run with every check on.")


def main() -> None:
    cli.required("config")
    if flags.FLAGS.check:
        check.switch_on()
    print(describe(run_config(flags.FLAGS.config, cli.required("workdir"), flags.FLAGS.check)))


if __name__ == "__main__":
    cli.run(main)
