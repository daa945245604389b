"""The table of results/speed: what was reached, beside the commit before, the limit and the original implementation.

    python -m benchmarks.table [--results=results/speed]      prints it, and writes it there and to README.md

`before.json` and `after.json` there are rows of `benchmarks.throughput` (a list, as --json writes it).
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from benchmarks.measure import steady
from experiments import cli
from experiments.marked import replace_marked
from oplstm_jax.files import write_text

flags.DEFINE_string("results", "results/speed", "Folder of before.json and after.json; table.md is written there.")


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
HEAD = ("learner", "problem", "meta-batch", "before", "now", "ratio", "plain", "limit", "of limit", "original", "ratio", "aim")


def main() -> None:
    folder = Path(flags.FLAGS.results)
    text = table(*(json.loads((folder / f"{name}.json").read_text()) for name in ("before", "after")))
    print(text, end="")
    write_text(folder / "table.md", text)
    replace_marked(Path("benchmarks/README.md"), f"{folder.as_posix()}/table.md", text)


def table(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> str:
    """Markdown: a line for every row of `after`, with the row of `before` for the same work where there is one."""
    earlier = {_work(row): row for row in before}
    lines = [HEAD, ("---",) * 3 + ("---:",) * (len(HEAD) - 3), *(_cells(row, earlier.get(_work(row))) for row in after)]
    text = "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
    loads = [row["load"] for row in (*before, *after)]
    ends = [f"{word} {', '.join(sorted({row['commit'] for row in rows}))}" for word, rows in (("before", before), ("now", after))]
    hardware, versions = (", ".join(sorted({row[name] for row in after})) for name in ("hardware", "versions"))
    rates = sorted(row["matmul_gflops_per_core"] for row in after)
    return text + (
        f"\nTasks per second of processor time, so on one core; the original's per second on two quiet cores.  \n"
        f"{hardware}; {versions}; commits: {'; '.join(ends)}.  \n"
        f"Load {min(loads):.0f} to {max(loads):.0f} from other work on the same cores; a 2048 x 2048 product ran at "
        f"{rates[0]:.0f} to {rates[-1]:.0f} GFLOPS.\n"
    )


def _work(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["problem"], row["learner"], row["meta_batch"]


def _cells(row: dict[str, Any], earlier: dict[str, Any] | None) -> tuple[str, ...]:
    problem, learner, batch = _work(row)
    original = ORIGINALS.get((problem, learner, batch == AUTHORS_BATCH.get((problem, learner), batch)))
    rate, old = steady(row), steady(earlier) if earlier else None
    limit, slow = steady(row, "limit_"), steady(row, "plain_")
    return (
        *(learner, problem, str(batch), _number(old), _number(rate), _number(old and rate / old), _number(slow)),
        *(_number(limit), f"{100 * rate / limit:.0f} %"),
        *((_number(original.tasks_per_second), _number(rate / original.tasks_per_second)) if original else ("–", "–")),
        f"{original.aim:g}" if original else "–",
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    cli.run(main)
