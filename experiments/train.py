"""Meta-trains one learner and tests it.

    python -m experiments.train --config=experiments/configs/sine.py:op_lstm,shot=5 --workdir=runs/sine
        [--config.seed=1 --config.train_tasks=7000 ...] [--check]

The workdir ends up holding metrics.jsonl, checkpoints/, params.npz and result.json. An interrupted run goes on where
it was when the same command is given again; a finished one prints its result. With --config.num_seeds=3 three runs are
trained in one program, and the folders seed0, seed1, seed2 of the workdir each hold one.
With --check JAX stops where a NaN arises or a random key is used twice, and shapes and dtypes of every task are
asserted: slow, for finding what is wrong.

All devices that divide the meta-batch take part. With --distributed so do those of other processes, which are all given
this command and see the same workdir: `--distributed=auto` on a TPU slice or under Slurm, else the address of the first
process, their number and which one this is: `--distributed=10.0.0.1:1234,2,0`.
"""

import re

import jax
from absl import flags
from ml_collections import config_flags

from experiments import cli
from experiments.run import describe, run_seeds
from oplstm_jax import check
from oplstm_jax.sharding import is_writer

config_flags.DEFINE_config_file("config", None, "Configuration file, with :learner,field=value after it.")
flags.DEFINE_string("workdir", None, "Folder of the run; made if it is not there.")
flags.DEFINE_string("distributed", None, "auto, or ADDRESS:PORT,PROCESSES,NUMBER: one of several processes of a run.")
flags.DEFINE_bool("check", False, "Run with every check on.")

PLACE = re.compile(r"([^\s:,]+|\[[\da-fA-F:.]+\]):([0-9]{1,5}),([0-9]{1,9}),([0-9]{1,9})")


def main() -> None:
    cli.required("config")
    workdir = cli.required("workdir")
    if flags.FLAGS.distributed:
        _join(flags.FLAGS.distributed)
    if flags.FLAGS.check:
        check.switch_on()
    results = run_seeds(flags.FLAGS.config, workdir, flags.FLAGS.check)
    if is_writer():
        print("\n".join(map(describe, results)))


def _join(text: str) -> None:
    """Becomes one of the processes of a run. Raises ValueError if the flag is not of one of its two forms."""
    if text == "auto":
        jax.distributed.initialize()
        return
    found = PLACE.fullmatch(text)
    port, count, number = map(int, found.groups()[1:]) if found else (0, 0, 0)
    if found is None or not 0 < port < 2**16 or number >= count:
        form = "ADDRESS:PORT,PROCESSES,NUMBER: 10.0.0.1:1234,2,0"
        raise ValueError(f"flag --distributed is {text!r}: expected auto or {form}")
    jax.distributed.initialize(f"{found[1]}:{port}", count, number)


if __name__ == "__main__":
    cli.run(main)
