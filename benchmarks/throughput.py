"""Training speed of every learner beside the limit and the plain version, measured in one run.

    python -m benchmarks.throughput [--learner=op_lstm --problem=sine_5shot --meta_batch=4] [--json=FILE] [--all]
    python -m benchmarks.throughput --growth --learner=op_lstm --problem=sine_5shot

Without flags: the authors' settings of sine, Omniglot MLP and Omniglot Conv-4, in at most ten minutes on two cores. --all adds
5-shot images, the plain LSTMs on pixels and 84x84 images. --growth varies meta-batch, shots, passes and width of one
learner and fits an exponent to each. `benchmarks/README.md` says how to read the table.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from benchmarks import measure, plain, problems
from experiments import cli
from oplstm_jax import build
from oplstm_jax.files import check_writable, write_text
from oplstm_jax.origin import facts, peak_bytes

flags.DEFINE_string("learner", None, "Only this learner.")
flags.DEFINE_string("problem", None, "Only this problem.")
flags.DEFINE_integer("meta_batch", None, "Tasks in a meta-batch (the authors' if not given).", lower_bound=1)
flags.DEFINE_float("seconds", 2.0, "Time for each measurement.", lower_bound=0.1)
flags.DEFINE_bool("all", False, "Also what takes long.")
flags.DEFINE_bool("growth", False, "How the rate grows with sizes, for --learner on --problem.")
flags.DEFINE_bool("plain", True, "Also measure the plain version.")
flags.DEFINE_string("json", None, "Also write the rows to this file, as far as they are measured.")

DEFAULT = {
    "sine_5shot": ("lstm", "pi_lstm", "op_lstm", "maml"),
    "sine_20shot": ("op_lstm",),
    "omniglot_mlp_1shot": ("op_lstm", "protonet", "maml"),
    "omniglot_mlp_5shot": ("op_lstm",),
    "omniglot_conv4_1shot": ("op_lstm_head", "protonet", "maml"),
}
ALL = {
    **DEFAULT,
    "sine_10shot": ("op_lstm",),
    "omniglot_mlp_1shot": ("op_lstm", "protonet", "maml", "lstm", "pi_lstm"),
    "omniglot_mlp_5shot": ("op_lstm", "protonet", "maml"),
    "omniglot_conv4_5shot": ("op_lstm_head", "protonet", "maml"),
    "images84_1shot": ("op_lstm_head", "protonet", "maml", "sap", "warp_maml"),
}
HEAD = f"{'learner':<13}{'problem':<22}{'batch':>5}{'tasks/s':>10}{'/core s':>10}{'limit':>10}{'of limit':>9}{'plain':>9}{'ratio':>7}{'compile':>9}{'MB':>7}"


def main() -> None:
    pairs = chosen()
    check_kept()
    print(HEAD, flush=True)
    if flags.FLAGS.growth:
        keep(growth())
    elif flags.FLAGS.problem and flags.FLAGS.learner:
        keep([show(row(*pairs[0], flags.FLAGS.meta_batch))])
    else:
        rows: list[dict[str, Any]] = []
        for pair in pairs:
            rows.append(_of_pair(*pair))
            keep(rows)


def check_kept() -> None:
    """Raises ValueError if rows are to be written to a file and cannot be."""
    if flags.FLAGS.json:
        check_writable(Path(flags.FLAGS.json))


def keep(rows: list[dict[str, Any]]) -> None:
    """Writes the rows to the file they are to be in, if any."""
    if flags.FLAGS.json:
        write_text(Path(flags.FLAGS.json), json.dumps(rows, indent=1) + "\n")


def chosen() -> list[tuple[str, str]]:
    """The pairs of problem and learner to measure. Raises ValueError for names that do not exist."""
    known = problems.workloads()
    if flags.FLAGS.problem and flags.FLAGS.problem not in known:
        raise ValueError(f"flag --problem: unknown {flags.FLAGS.problem!r}: expected one of {', '.join(known)}")
    if flags.FLAGS.problem and flags.FLAGS.learner:
        return [(flags.FLAGS.problem, flags.FLAGS.learner)]
    table = ALL if flags.FLAGS.all or flags.FLAGS.problem or flags.FLAGS.learner else DEFAULT
    pairs = [(problem, learner) for problem, learners in table.items() for learner in learners]
    wanted = (flags.FLAGS.problem, flags.FLAGS.learner)
    pairs = [pair for pair in pairs if all(w in (None, p) for w, p in zip(wanted, pair, strict=True))]
    if not pairs:
        raise ValueError(f"flag --learner: {flags.FLAGS.learner!r} is not in the benchmark: give --problem too")
    return pairs


def _of_pair(problem: str, learner: str) -> dict[str, Any]:
    """The row of one pair, measured in a process of its own, so that compilation and peak memory are its own."""
    (found,), line = in_own_process(f"{learner} on {problem}", f"--problem={problem}", f"--learner={learner}")
    print(line, flush=True)
    return found


def in_own_process(what: str, *own: str) -> tuple[list[dict[str, Any]], str]:
    """Rows, and the last line, of this command with further flags in another process.

    Raises ValueError that says of what, if it fails.
    """
    module = sys.modules["__main__"].__spec__.name
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", module, *sys.argv[1:], *own, f"--json={file}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"{what}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
        return json.loads(file.read_text()), done.stdout.splitlines()[-1]


def row(problem: str, learner: str, meta_batch: int | None, **changes: Any) -> dict[str, Any]:
    """Measures one learner on one problem: rates of the library, of the limit and of the plain version, by turns."""
    config = problems.configured(problem, learner, meta_batch, changes)
    shape = jax.eval_shape(build.build_sampler(config, "train"), jax.random.key(0)).support.x.shape[1:]
    works = {"": measure.training(config)}
    works[""].run(1)
    found = {"learner": learner, "problem": problem, "meta_batch": config["meta_batch"]}
    found |= {"compile_seconds": works[""].compile_seconds, "peak_bytes": max(peak_bytes().values())}
    limits = _limits(config, shape)
    works |= limits
    if flags.FLAGS.plain:
        with plain.plain():
            everything = {**config, "tasks_at_once": config["meta_batch"]}
            works["plain_"] = measure.training(everything, on_device=False)
    rates = measure.compare(works, flags.FLAGS.seconds)
    rates["limit_"] = measure.Rate(*map(max, zip(*(rates[name] for name in limits), strict=True)))
    for name in ("", "limit_", "plain_"):
        clock, core = rates.get(name, (None, None))
        found |= {f"{name}tasks_per_second": clock, f"{name}tasks_per_core_second": core}
    origin = {name: facts()[name] for name in ("commit", "hardware", "versions")} | {"load": os.getloadavg()[0]}
    product = measure.matmul_gflops()
    found |= {"matmul_gflops": product.per_second, "matmul_gflops_per_core": product.per_core_second}
    return {**found, "platform": jax.default_backend(), **origin}


def _limits(config: dict[str, Any], shape: tuple[int, ...]) -> dict[str, measure.Work]:
    """The least work of one task alone, and of the meta-batch at once: an accelerator is idle at small sizes, caches are small."""
    sizes = {config["meta_batch"]} | ({1} if jax.default_backend() == "cpu" else set())
    return {f"limit_of_{tasks}": measure.repeated(problems.least_work(config, shape, tasks), tasks) for tasks in sizes}


def show(found: dict[str, Any]) -> dict[str, Any]:
    """Prints a row of the table and returns it."""
    rate, limit, slow = (measure.steady(found, name) for name in ("", "limit_", "plain_"))
    plain_text = f"{slow:9.1f}{rate / slow:7.1f}" if slow else f"{'–':>9}{'–':>7}"
    print(
        f"{found['learner']:<13}{found['problem']:<22}{found['meta_batch']:>5}{found['tasks_per_second']:10.1f}{rate:10.1f}"
        f"{limit:10.1f}{100 * rate / limit:8.0f}%{plain_text}{found['compile_seconds']:8.1f}s{found['peak_bytes'] / 1e6:7.0f}",
        flush=True,
    )
    return found


def growth() -> list[dict[str, Any]]:
    """Rates of one learner as one size at a time is doubled, and exponents fitted to time per task."""
    problem, learner = cli.required("problem"), cli.required("learner")
    flags.FLAGS.plain = False
    rows = []
    for name, values in _series(problems.workloads()[problem].config(learner)).items():
        sizes, times = [], []
        for value in values:
            options = {"options": {"sizes": value}} if name == "sizes" else {name: value}
            found = row(problem, learner, **{"meta_batch": flags.FLAGS.meta_batch, **options})
            rows.append(show({**found, "varied": name, "value": value}))
            sizes.append(value[0] if isinstance(value, list) else value)
            times.append(1 / measure.steady(rows[-1]))
        exponent = np.polyfit(np.log(sizes), np.log(times), 1)[0]
        print(f"time per task grows with {name} to the power {exponent:.2f}" if math.isfinite(exponent) else "")
        for found in rows[-len(values) :]:
            found["exponent"] = float(exponent)
    return rows


def _series(base: dict[str, Any]) -> dict[str, list[Any]]:
    """Fields of a configuration, or `sizes` of a plain LSTM's layers, with the values each is to take."""
    found = {
        "meta_batch": [1, 2, 4, 8, 16],
        "train_shot": [base["shot"] * factor for factor in (1, 2, 4)],
        "passes": [max(base["passes"], 1) * factor for factor in (1, 2, 4)],
    }
    if base["base"] == "conv4":
        return {**found, "filters": [16, 32, 64]}
    own = "hidden" if base["base"] == "mlp" else "sizes"
    widths = base["hidden"] if own == "hidden" else base["options"]["sizes"]
    return {**found, own: [[factor * width for width in widths] for factor in (1, 2, 4)]}


if __name__ == "__main__":
    cli.run(main)
