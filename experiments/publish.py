"""Copies the finished runs of a table into a folder to be kept, and the table into the page that shows it.

    python -m experiments.publish --workdir=runs/sine --to=results/sine [--pages=README.md,docs/results]
        [--largest_params=200000]

Of each run go its configuration, metrics, results and scores, and its parameters unless they are too large. On the
page the table replaces what stands between <!-- RESULTS/table.md --> and <!-- end -->.
"""

import shutil
from pathlib import Path

from absl import flags

from experiments import cli
from experiments.marked import replace_marked
from experiments.table import FILES
from oplstm_jax.files import atomic
from oplstm_jax.records import read_result

flags.DEFINE_string("workdir", None, "Folder of the table.")
flags.DEFINE_string("to", None, "Folder to be kept; made if it is not there, runs that are there stay.")
flags.DEFINE_list("pages", ["README.md", "docs/results"], "Markdown files, and folders of them, that show tables.")
flags.DEFINE_integer("largest_params", 200_000, "Bytes up to which params.npz is copied too.")

OF_RUN = ("config.json", "metrics.jsonl", "result.json", "test_scores.npy", "params.npz")


def main() -> None:
    root, target = Path(cli.required("workdir")), Path(cli.required("to"))
    runs = [file.parent for file in sorted(root.rglob("result.json")) if read_result(file.parent)]
    if not runs or not (root / "table.md").exists():
        raise ValueError(f"workdir {root}: expected table.md and finished runs, as experiments.reproduce leaves them")
    for run in runs:
        _copy(run, target / "runs" / run.relative_to(root), OF_RUN)
    _copy(root, target, FILES)
    name, table = f"{target.as_posix()}/table.md", (root / "table.md").read_text()
    shown = [str(page) for page in _pages() if replace_marked(page, name, table)]
    missing = f"; no <!-- {name} --> in {', '.join(flags.FLAGS.pages)}"
    print(f"{len(runs)} results -> {target}" + ("; " + ", ".join(shown) if shown else missing))


def _pages() -> list[Path]:
    found = []
    for path in map(Path, flags.FLAGS.pages):
        found += sorted(path.glob("*.md")) if path.is_dir() else [path]
    return found


def _copy(source: Path, target: Path, names: tuple[str, ...]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in (source / name for name in names):
        too_large = file.name == "params.npz" and file.exists() and file.stat().st_size > flags.FLAGS.largest_params
        if too_large:
            (target / file.name).unlink(missing_ok=True)  # of an earlier run
        elif file.exists():
            with open(file, "rb") as read, atomic(target / file.name) as written:
                shutil.copyfileobj(read, written)


if __name__ == "__main__":
    cli.run(main)
