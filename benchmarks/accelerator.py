"""Training speed on a GPU or TPU: images at 28 and 84 pixels, meta-batches, bfloat16, and one task after another.

    python -m benchmarks.accelerator [--json=FILE --seconds=1] [--workers=8 --compilation_cache=FOLDER]

First as many processes as there are --workers compile all rows, which the folder keeps; then one process measures them
one after another on the idle device. The limit is the bare arithmetic of a whole meta-batch at once.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
from absl import flags

from benchmarks import throughput
from experiments import cli

flags.DEFINE_integer("workers", 0, "Processes that compile beforehand; needs --compilation_cache.", lower_bound=0)
flags.DEFINE_integer("row", None, "Only the row of this number, from 0.", lower_bound=0)

SHARED_FLAGS = ("json", "seconds")  # of benchmarks.throughput

HALF, ONE = {"precision": "bfloat16"}, {"tasks_at_once": 1}
# Problem, learner, meta-batch (None: the authors') and other fields that differ from the configuration.
ROWS: tuple[tuple[str, str, int | None, dict[str, Any]], ...] = (
    ("images84_1shot", "maml", None, {}),
    ("images84_1shot", "maml", None, ONE),
    ("images84_1shot", "op_lstm_head", None, {}),
    ("images84_1shot", "op_lstm_head", None, HALF),
    ("images84_1shot", "op_lstm_head", 8, {}),
    ("images84_1shot", "op_lstm_head", 16, {}),
    ("images84_1shot", "op_lstm_head", 16, HALF),
    ("images84_1shot", "protonet", None, {}),
    ("images84_1shot", "protonet", None, HALF),
    ("images84_1shot", "sap", None, {}),
    ("images84_1shot", "sap", None, ONE),
    ("images84_1shot", "warp_maml", None, {}),
    ("images84_1shot", "pi_lstm", 8, {}),
    ("omniglot_conv4_1shot", "maml", None, {}),
    ("omniglot_conv4_1shot", "maml", None, ONE),
    ("omniglot_conv4_1shot", "op_lstm_head", None, {}),
    ("omniglot_conv4_1shot", "op_lstm_head", 32, {}),
    ("omniglot_conv4_1shot", "protonet", None, {}),
    ("omniglot_mlp_1shot", "op_lstm", None, {}),
    ("omniglot_mlp_1shot", "maml", None, {}),
    ("sine_5shot", "op_lstm", None, {}),
    ("sine_5shot", "op_lstm", 256, {}),
)


def main() -> None:
    wanted = chosen()
    throughput.check_kept()
    peaks = _compile() if flags.FLAGS.workers else {}
    flags.FLAGS.plain = False
    print(throughput.HEAD, flush=True)
    rows = []
    for number in wanted:
        if found := _measure(number):
            rows.append(found | peaks.get(number, {}))
        throughput.keep(rows)


def chosen() -> Sequence[int]:
    """Numbers of the rows that --row names. Raises ValueError for one that does not exist."""
    wanted = range(len(ROWS)) if flags.FLAGS.row is None else [flags.FLAGS.row]
    if max(wanted) >= len(ROWS):
        raise ValueError(f"flag --row is {flags.FLAGS.row}: expected at most {len(ROWS) - 1}")
    return wanted


def _measure(number: int) -> dict[str, Any] | None:
    """A row, or None and a line that says so where the device has too little memory for it."""
    problem, learner, meta_batch, fields = ROWS[number]
    try:
        found = throughput.row(problem, learner, meta_batch, **fields)
    except jax.errors.JaxRuntimeError as error:
        print(f"{learner} on {problem}, {meta_batch or 'its own'} tasks, {fields}: {str(error).splitlines()[0][:120]}", flush=True)
        return None
    return {**throughput.show(found), **fields}


def _compile() -> dict[int, dict[str, Any]]:
    """Compiles every row in a process of its own; by number, what only such a process can say of a row."""
    cli.required("compilation_cache")

    def one(number: int) -> dict[str, Any]:
        try:
            found, line = throughput.in_own_process(f"row {number}", f"--row={number}", "--seconds=0.1", "--workers=0")
        except ValueError as error:
            found, line = [], str(error)
        if not found:
            print(line, flush=True)
        return {name: found[0][name] for name in ("compile_seconds", "peak_bytes")} if found else {}

    with ThreadPoolExecutor(flags.FLAGS.workers) as pool:
        return dict(enumerate(pool.map(one, range(len(ROWS)))))


if __name__ == "__main__":
    cli.run(main)
