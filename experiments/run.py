"""One run: a configuration, a workdir, a result. What `train` does once and `reproduce` many times."""

import contextlib
import itertools
import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from experiments import similarity
from oplstm_jax import build, check
from oplstm_jax.fields import is_width
from oplstm_jax.origin import facts, peak_bytes
from oplstm_jax.problem import Problem
from oplstm_jax.sharding import is_writer
from oplstm_jax.train import finish, train_seeds
from oplstm_jax.workdir import Workdir

MOST_SEEDS = 500  # trained together: each has files open
OF_RESULT = ("learner", "seed", "norm", "test_query")  # fields that a result names beside its whole configuration


def run_config(
    config: ConfigDict, workdir: str | Path, gradient_step: float | None = None, checks: bool = False
) -> dict[str, Any]:
    """Trains and tests (or goes on with, or looks up) one configuration in a workdir; returns its result.

    gradient_step: for OP-LSTM, the step size of gradient descent with which its updates are compared at every
    validation. checks: assert shapes and dtypes of episodes and outputs, see `oplstm_jax.check`.

    Raises ValueError for a bad configuration or a workdir that holds another one.
    """
    return _run([plain(config)], [Path(workdir)], gradient_step, checks)[0]


def run_seeds(config: ConfigDict, workdir: str | Path, checks: bool = False) -> list[dict[str, Any]]:
    """The same for `num_seeds` successive seeds, trained together in one program.

    Each has a folder of its own in the workdir, seed0, seed1 ..., which holds what the run of that seed alone would
    leave there, up to the order of summation. A single seed has the workdir itself.
    """
    if not is_width(config.num_seeds) or config.num_seeds > MOST_SEEDS:
        raise ValueError(f"num_seeds is {config.num_seeds}: expected a whole number from 1 to {MOST_SEEDS}")
    if config.num_seeds == 1:
        return [run_config(config, workdir, checks=checks)]
    if (Path(workdir) / "config.json").exists():
        raise ValueError(f"workdir {workdir}: holds a run of one seed: expected another folder for {config.num_seeds}")
    seeds = range(config.seed, config.seed + config.num_seeds)
    configs = [{**plain(config), "seed": seed} for seed in seeds]
    return _run(configs, [Path(workdir) / f"seed{seed}" for seed in seeds], checks=checks)


def run_together(configs: list[ConfigDict], workdirs: list[Path]) -> list[dict[str, Any]]:
    """`run_config` for configurations that differ in nothing but their seeds, which follow one another, in one program.

    Raises ValueError for other configurations.
    """
    plains = [plain(config) for config in configs]
    expected = [{**plains[0], "seed": plains[0]["seed"] + number} for number in range(len(plains))]
    if plains != expected:
        raise ValueError("only runs whose seeds follow one another, and nothing else differs, can be trained together")
    return _run(plains, workdirs)


def _run(
    configs: list[dict[str, Any]], workdirs: list[Path], gradient_step: float | None = None, checks: bool = False
) -> list[dict[str, Any]]:
    """Trains and tests those of the runs that are not finished; seeds that follow one another together."""
    origin, problem = facts(), build.build_problem(configs[0])
    problem = check.checked(problem) if checks else problem
    _refuse_impossible(problem)
    with contextlib.ExitStack() as opened:
        pairs = zip(workdirs, configs, strict=True)
        folders = [opened.enter_context(contextlib.closing(Workdir(path, own, is_writer()))) for path, own in pairs]
        results = {number: done for number, folder in enumerate(folders) if (done := folder.result())}
        if left := [number for number in range(len(folders)) if number not in results]:
            shared = {**origin, "task_list": build.list_of_test_tasks(configs[0])}
            for folder in folders:
                folder.claim_tasks(shared["task_list"])
            if (features := build.features_digest(configs[0])) is not None:
                shared["features_sha256"] = features
                for folder in folders:
                    folder.claim_features(features)
            if gradient_step is not None:
                problem = problem._replace(probe=similarity.probe(configs[0], gradient_step))
            for group in _neighbours(left):
                members = [folders[number] for number in group], [configs[number] for number in group]
                results |= zip(group, _train(problem, *members, shared), strict=True)
        return [results[number] for number in range(len(folders))]


def _refuse_impossible(problem: Problem) -> None:
    """Raises ValueError now, not when their turn comes, for impossible tasks and networks that do not fit them."""
    train, *_ = (problem.sampler(split) for split in ("train", "validation", "test"))
    build.param_shapes(problem.learner, train)


def _train(problem: Problem, folders: list[Workdir], configs: list[dict], shared: dict[str, Any]) -> list[dict]:
    """Trains and tests runs whose seeds follow one another in one program; writes their results and returns them."""
    origins = [{**shared, **folder.claim_machine(shared)} for folder in folders]
    tested = train_seeds(problem, build.build_settings(configs[0]), folders)
    about = {"peak_bytes": peak_bytes(), "trained_together": len(configs)}
    return [
        finish(problem, outcome, folder, {**{name: own[name] for name in OF_RESULT}, "config": own, **origin, **about})
        for outcome, folder, own, origin in zip(tested, folders, configs, origins, strict=True)
    ]


def _neighbours(numbers: list[int]) -> list[list[int]]:
    """Ascending numbers in groups without gaps."""
    groups = itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    return [[number for _, number in group] for _, group in groups]


def plain(config: ConfigDict) -> dict[str, Any]:
    """A run's configuration as JSON would hold it, references resolved; how many run together does not belong to it."""
    return {name: value for name, value in json.loads(config.to_json_best_effort()).items() if name != "num_seeds"}


def describe(result: dict[str, Any]) -> str:
    """One line: score with interval, tasks with the start of their list's digest, normalisation and query size."""
    score, interval = result["score"], result["interval"]
    if result["metric"] == "accuracy":
        value = f"accuracy {100 * score:.2f} % ± {100 * interval:.2f}"
    else:
        value = f"mse {score:.4f} ± {interval:.4f}"
    tasks = f"{result['test_tasks']} tasks" + (f" {result['task_list'][:12]}" if "task_list" in result else "")
    lost = f", not of the best step {result['lost_best_step']}, which was lost" if "lost_best_step" in result else ""
    return (
        f"{result['learner']}: test {value} (95 %, {tasks}, norm {result['norm']}, "
        f"{result['test_query']} queries, seed {result['seed']}, trained in {result['wall_seconds']:.0f} s{lost})"
    )
