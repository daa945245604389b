"""What is still to be trained, how long it will take, and what other folders have already."""

import statistics
from collections.abc import Iterable
from pathlib import Path

from experiments.cells import PlannedRun
from experiments.merge import copy_run
from experiments.run import plain
from oplstm_jax.progress import clock
from oplstm_jax.records import complete, own_seconds, read_config, read_metrics, read_result


def progress_line(runs: list[PlannedRun], workers: int = 1) -> str:
    """Such as "12/45 runs done, 1:02:03 left", with so many processes.

    It says "more than" as long as there are tables none of whose runs is finished, and of no time if that holds for
    all of them.
    """
    results = [read_result(run.folder) for run in runs]
    seconds = {run.folder: own_seconds(result) for run, result in zip(runs, results, strict=True) if result}
    left = [_expected(run, runs, seconds) for run in runs if run.folder not in seconds]
    known = [s for s in left if s is not None]
    time_left = f", {'more than ' * (None in left)}{clock(sum(known) / workers)} left" if known or not left else ""
    return f"{len(seconds)}/{len(runs)} runs done{time_left}"


def adopt(run: PlannedRun, places: Iterable[Path]) -> bool:
    """Copies a finished run of the same configuration from below other folders, unless the run has begun."""
    if (run.folder / "config.json").exists():
        return False
    for place in places:
        for folder in sorted(place.rglob(run.folder.name)):
            if read_result(folder) is not None and _is_same(run, folder):
                copy_run(folder, run.folder)
                return True
    return False


def together(planned: list[PlannedRun]) -> list[list[PlannedRun]]:
    """The runs of each cell, which differ in their seeds alone."""
    cells: dict[str, list[PlannedRun]] = {}
    for run in planned:
        cells.setdefault(str(run.folder).rpartition("-seed")[0], []).append(run)
    return list(cells.values())


def check_workers(codes: list[int], runs: list[PlannedRun], root: Path) -> None:
    """Raises ValueError if runs are left because other processes, worker1 and so on, ended with an exit code but 0."""
    stopped = [f"worker{number}.log" for number, code in enumerate(codes, 1) if code]
    left = sum(read_result(run.folder) is None for run in runs)
    if stopped and left:
        raise ValueError(f"{left} runs are not finished: see {', '.join(stopped)} in {root}; the same command goes on")


def _expected(run: PlannedRun, runs: list[PlannedRun], seconds: dict[Path, float]) -> float | None:
    """The mean time of the finished runs most like this one: of its table, learner and shots, or of less of that."""

    def likeness(other: PlannedRun) -> tuple[bool, bool]:
        same = other.config.learner == run.config.learner
        return same, same and other.config.shot == run.config.shot

    beside = [other for other in runs if other.folder in seconds and other.folder.parent == run.folder.parent]
    most = max(map(likeness, beside), default=None)
    return statistics.mean(seconds[other.folder] for other in beside if likeness(other) == most) if beside else None


def _is_same(run: PlannedRun, folder: Path) -> bool:
    measured = run.gradient_step is None or any("gradient_cosine" in line for line in read_metrics(folder))
    return measured and read_config(folder) == complete(plain(run.config))
