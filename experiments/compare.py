"""Compares finished runs, cell by cell: over seeds, and on each of the test tasks that they share.

    python -m experiments.compare results/best_sine/runs/authors results/best_sine/runs/best
    python -m experiments.compare results/sine/runs/maml-5shot results/sine/runs/op_lstm-5shot --to=runs/compared

A cell is what differs in nothing but its seeds: the folders NAME-seed0, NAME-seed1, ... (of `num_seeds` just seed0,
...). Two folders are compared name by name, two cells with one another. Prints the table; --to keeps it.
"""

from pathlib import Path

from absl import flags

from experiments import cli
from experiments.finding import Finding, as_table, markdown, write_finding
from oplstm_jax.comparison import HEADS, cells, row

flags.DEFINE_string("to", None, "Folder for table.md and table.json; made if it is not there.")

ABOUT = (
    "Means and 95 % intervals over seeds; their difference and p by Welch's test: what to expect of other trainings. "
    "On the same tasks: the difference of each test task's scores, averaged over seeds, about these runs alone "
    "(– where results do not name one list of tasks)."
)


def main() -> None:
    words = cli.words("folders or cells to compare")
    if len(words) != 2:
        raise ValueError(f"{len(words)} folders or cells: expected two")
    first, second = (cells(Path(word)) for word in words)
    if len(first) == len(second) == 1:
        name = ", ".join(filter(None, dict.fromkeys((*first, *second))))
        first, second = ({name: cell} for cell in (*first.values(), *second.values()))
    names = [name for name in first if name in second]
    if not names:
        raise ValueError(f"no cell is in both: {', '.join(first)} and {', '.join(second)}")
    title = f"{words[0]} (first) and {words[1]} (second)"
    found = Finding(title, HEADS, [row(name, first[name], second[name]) for name in names], ABOUT)
    print(write_finding(found, Path(flags.FLAGS.to)) if flags.FLAGS.to else markdown(as_table(found)), end="")


if __name__ == "__main__":
    cli.run(main, words=float("inf"))
