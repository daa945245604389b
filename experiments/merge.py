"""Merges the runs of folders that were filled on different machines into one.

    python -m experiments.merge --workdir=runs/sine machine1/sine machine2/sine

Runs that the target does not have are copied. Where both have a run, the finished one is kept, or the one that is
further. Two different results of one run are refused, and then nothing is copied at all.
`python -m experiments.reproduce TABLE --workdir=runs/sine --notrain` then writes the table.
"""

import contextlib
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np
from absl import flags

from experiments import cli
from oplstm_jax.files import PARTIAL
from oplstm_jax.records import read_config, read_metrics, read_result, read_scores
from oplstm_jax.workdir import lock


def main() -> None:
    print(merge(Path(cli.required("workdir")), [Path(word) for word in cli.words("folder to merge from")]))


def merge(target: Path, sources: list[Path]) -> str:
    """Merges the runs below `sources` into `target` and returns a line about it. Raises ValueError as said above."""
    for source in sources:
        if not find_runs(source):
            raise ValueError(f"{source}: no runs there: expected folders with a config.json")
        ends = source.resolve(), target.resolve()
        if ends[0].is_relative_to(ends[1]) or ends[1].is_relative_to(ends[0]):
            raise ValueError(f"{source}: is the folder to merge into, {target}, or one is inside the other")
    chosen: dict[Path, Path] = {run: target / run for run in find_runs(target)}
    taken: set[Path] = set()
    for source in sources:
        for run in find_runs(source):
            here = chosen.get(run)
            if here is None or is_better(source / run, here):
                chosen[run] = source / run
                taken.add(run)
    for run in sorted(taken):
        copy_run(chosen[run], target / run)
    return f"{len(taken)} runs copied to {target}, {len(chosen) - len(taken)} kept as they were"


def find_runs(root: Path) -> list[Path]:
    """The folders of runs below a folder, relative to it."""
    return sorted(file.parent.relative_to(root) for file in root.rglob("config.json"))


def is_better(new: Path, old: Path) -> bool:
    """Whether a run is to replace another of the same configuration: it is finished, or further, or tested more.

    Raises ValueError for different configurations and for different results.
    """
    if read_config(new) != read_config(old):
        raise ValueError(f"conflict: {new} and {old} hold different configurations")
    results = read_result(new), read_result(old)
    if None in results:
        return results[1] is None and (results[0] is not None or _last_step(new) > _last_step(old))
    tests = [{file.parent.relative_to(run) for file in run.rglob("result.json")} for run in (new, old)]
    for test in sorted(tests[0] & tests[1]):
        _check_equal(new / test, old / test)
    return tests[0] > tests[1]


def _check_equal(new: Path, old: Path) -> None:
    """Raises ValueError if two finished runs have other parameters or other scores of their test tasks."""
    a, b = read_result(new) or {}, read_result(old) or {}
    if a["params_sha256"] != b["params_sha256"] or not np.array_equal(read_scores(new), read_scores(old)):
        raise ValueError(
            f"conflict: {new} scores {a['score']:.6g}, {old} scores {b['score']:.6g}; expected the same result"
        )


def _last_step(folder: Path) -> int:
    return max((line["step"] for line in read_metrics(folder)), default=0)


def copy_run(source: Path, target: Path) -> None:
    """Copies the folder of a run, whole or not at all, in place of what is there.

    A finished run is copied without its checkpoints, which nothing needs any more.

    Raises ValueError if a process is at work in either folder, OSError where it cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    done = ["checkpoints"] if read_result(source) is not None else []
    with contextlib.ExitStack() as held:
        held.enter_context(lock(source, to_read=True))
        held.enter_context(lock(target))
        made = Path(held.enter_context(tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.")))
        try:
            shutil.copytree(source, made / "copy", ignore=shutil.ignore_patterns(".lock", f"*{PARTIAL}", *done))
        except shutil.Error as error:  # a list of what could not be copied; each says why
            raise OSError(f"{target}: cannot be copied from {source}: {error.args[0][0][2]}") from None
        _replace(target, made / "copy", made / "replaced")


def _replace(target: Path, copy: Path, replaced: Path) -> None:
    """Puts a copy where the target is, or leaves the target if that is interrupted."""
    try:
        if target.exists():
            target.rename(replaced)
        copy.rename(target)
    except BaseException:
        if replaced.exists() and not target.exists():
            replaced.rename(target)
        raise


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Folder to merge into; made if it is not there.")
    cli.run(main, words=math.inf)
