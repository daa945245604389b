"""The tables of results/speed: rates beside the limit and the original implementation, and what changes did to them.

    python -m benchmarks.table [--results=results/speed]      prints them, and writes them there and to README.md

`quiet.json`, `before.json` and `after.json` there are rows of `benchmarks.throughput` (lists, as --json writes them),
`gpu.json` and `gpu_shared.json` of `benchmarks.accelerator`, `compiled.json` of `benchmarks.compiled` with and without
what is for GPUs, whose tables are in README.md alone.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from benchmarks.measure import steady
from experiments import cli
from experiments.marked import replace_marked
from oplstm_jax.build import GRADIENT_LEARNERS
from oplstm_jax.files import write_text

flags.DEFINE_string("results", "results/speed", "Folder of quiet.json, before.json and after.json; table.md is written there.")


Row = dict[str, Any]


class Original(NamedTuple):
    """Tasks per second of the original PyTorch implementation on two quiet cores, and how many times that is aimed at."""

    tasks_per_second: float
    aim: float


# By problem, learner and whether the meta-batch is the authors'; at another OP-LSTM aims higher.
ORIGINALS = {
    ("sine_5shot", "op_lstm", True): Original(20, 12),
    ("sine_5shot", "op_lstm", False): Original(20, 25),
    ("sine_5shot", "lstm", True): Original(300, 15),
    ("sine_5shot", "pi_lstm", True): Original(300, 15),
    ("sine_5shot", "maml", True): Original(97, 15),
    ("omniglot_mlp_1shot", "op_lstm", True): Original(90, 10),
    ("omniglot_mlp_1shot", "protonet", True): Original(445, 3),
    ("omniglot_mlp_1shot", "maml", True): Original(265, 2.5),
    ("omniglot_conv4_1shot", "op_lstm_head", True): Original(12, 1),
    ("images84_1shot", "op_lstm_head", True): Original(1.3, 1),
}
AUTHORS_BATCH = {("sine_5shot", "op_lstm"): 1}  # where more than one is measured
TWO_DEVICES = "2 x cpu"  # how the hardware of --cpu_devices=2 begins
BY_THE_CLOCK = (
    *("learner", "problem", "meta-batch", "tasks/s", "two devices", "limit", "of limit", "plain", "x plain"),
    *("original", "x original", "aim"),
)
CHANGED = ("learner", "problem", "meta-batch", "before", "after", "ratio")
ACCELERATOR = ("learner", "problem", "precision", "meta-batch", "at once", "tasks/s", "limit", "of limit")
COMPILED = ("learner", "problem", "precision", "meta-batch", "kernels", "without", "MB", "without", "of transposes", "without")
WORDS = 2  # columns of words, aligned to the left


def main() -> None:
    folder = Path(flags.FLAGS.results)
    text = tables(*(json.loads((folder / f"{name}.json").read_text()) for name in ("quiet", "before", "after")))
    print(text, end="")
    write_text(folder / "table.md", text)
    for name, found in {"table.md": text, **{f"{name}.json": found for name, found in gpu_tables(folder).items()}}.items():
        replace_marked(Path("benchmarks/README.md"), f"{folder.as_posix()}/{name}", found)


def tables(quiet: list[Row], before: list[Row], after: list[Row]) -> str:
    """Markdown of two tables: rates by the clock of a quiet machine, and what changes of the library did to them."""
    two = {_work(row): row for row in quiet if row["hardware"].startswith(TWO_DEVICES)}
    one = {_work(row): row for row in quiet if not row["hardware"].startswith(TWO_DEVICES)}
    earlier = {_work(row): row for row in before}
    clock = [_by_the_clock(one.get(work), two.get(work)) for work in dict.fromkeys((*one, *two))]
    changes = [_changed(earlier[_work(row)], row) for row in after if _work(row) in earlier]
    return (
        f"{_lines(BY_THE_CLOCK, clock)}\nTasks per second of the clock. {_conditions(quiet, '')}\n"
        f"{_lines(CHANGED, changes)}\nTasks per second of processor time. {_conditions((*before, *after), '_per_core')}"
    )


def _lines(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    aligned = ("---",) * WORDS + ("---:",) * (len(head) - WORDS)
    return "".join("| " + " | ".join(cells) + " |\n" for cells in (head, aligned, *rows))


def _conditions(rows: Sequence[Row], kind: str) -> str:
    hardware, versions, commits = (", ".join(sorted({row[name] for row in rows})) for name in ("hardware", "versions", "commit"))
    loads, rates = (sorted(row[name] for row in rows) for name in ("load", f"matmul_gflops{kind}"))
    return (
        f"{hardware}; {versions}; commits {commits}.  \n"
        f"Load {loads[0]:.0f} to {loads[-1]:.0f}; a 2048 x 2048 product ran at {rates[0]:.0f} to {rates[-1]:.0f} GFLOPS.\n"
    )


def _work(row: Row) -> tuple[str, str, int]:
    return row["problem"], row["learner"], row["meta_batch"]


def _by_the_clock(one: Row | None, two: Row | None) -> tuple[str, ...]:
    """The line of one piece of work, on one device and on two; ratios are those of the faster."""
    alone, both = (row and row["tasks_per_second"] for row in (one, two))
    row = one or two
    assert row is not None
    problem, learner, batch = _work(row)
    best, limit, slow = max(alone or 0, both or 0), row["limit_tasks_per_second"], row["plain_tasks_per_second"]
    original = ORIGINALS.get((problem, learner, batch == AUTHORS_BATCH.get((problem, learner), batch)))
    return (
        *(learner, problem, str(batch), _number(alone), _number(both), _number(limit), _share(best, limit)),
        *(_number(slow), _number(slow and best / slow)),
        *((_number(original.tasks_per_second), _number(best / original.tasks_per_second)) if original else ("–", "–")),
        f"{original.aim:g}" if original else "–",
    )


def _changed(earlier: Row, row: Row) -> tuple[str, ...]:
    problem, learner, batch = _work(row)
    old, new = steady(earlier), steady(row)
    return learner, problem, str(batch), _number(old), _number(new), _number(new / old)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _share(rate: float, limit: float | None) -> str:
    return "–" if limit is None else f"{100 * rate / limit:.0f} %"


def gpu_tables(folder: Path) -> dict[str, str]:
    """By file, Markdown of rows measured on a device, if it was idle all, else convolutions of each task, and of rows compiled."""
    idle, shared, compiled = (json.loads((folder / f"{name}.json").read_text()) for name in ("gpu", "gpu_shared", "compiled"))
    shared = [row for row in shared if row["learner"] in GRADIENT_LEARNERS and "mlp" not in row["problem"]]
    return {
        "gpu": _lines(ACCELERATOR, [_of_accelerator(row) for row in idle]),
        "gpu_shared": _lines(ACCELERATOR, [_of_accelerator(row) for row in shared]),
        "compiled": _lines(COMPILED, _with_and_without(compiled)),
    }


def _of_accelerator(row: Row) -> tuple[str, ...]:
    rate, limit = row["tasks_per_second"], row["limit_tasks_per_second"]
    sizes = row["meta_batch"], row.get("tasks_at_once", row["meta_batch"])
    words = row["learner"], row["problem"], row.get("precision", "float32")
    return (*words, *map(str, sizes), _number(rate), _number(limit), _share(rate, limit))


def _with_and_without(rows: list[Row]) -> list[tuple[str, ...]]:
    """A line for each program, of what it does and what it would do without LAYOUT and UNROLL of `nets/gpu.py`."""

    def program(row: Row) -> tuple[str, ...]:
        return row["learner"], row["problem"], row["precision"], str(row["meta_batch"])

    without = {program(row): row for row in rows if row["off"] == ["LAYOUT", "UNROLL"]}
    lines = []
    for row in (row for row in rows if not row["off"]):
        pairs = [(row[name], without[program(row)][name]) for name in ("kernels", "moved_bytes", "transposed_bytes")]
        numbers = [str(count) for count in pairs[0]] + [_number(size / 1e6) for pair in pairs[1:] for size in pair]
        lines.append((*program(row), *numbers))
    return lines


if __name__ == "__main__":
    cli.run(main)
