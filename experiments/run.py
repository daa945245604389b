"""One run: a configuration, a workdir, a result. What `train` does once and `reproduce` many times."""

import functools
import json
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from oplstm_jax import build, check
from oplstm_jax.train import finish, train
from oplstm_jax.workdir import Workdir


def run_config(config: ConfigDict, workdir: str | Path, checks: bool = False) -> dict[str, Any]:
    """Trains and tests (or goes on with, or looks up) one configuration in a workdir; returns its result.

    checks: assert shapes and dtypes of episodes and outputs, see `oplstm_jax.check`.

    Raises ValueError for a bad configuration or a workdir that holds another one.
    """
    plain = json.loads(config.to_json_best_effort())
    origin = facts()
    settings, problem = build.build_settings(plain), build.build_problem(plain)
    problem = check.checked(problem) if checks else problem
    for split in ("train", "validation", "test"):  # impossible tasks are refused now, not when their turn comes
        problem.sampler(split)
    folder = Workdir(workdir, plain)
    try:
        if (result := folder.result()) is not None:
            return result
        tested = train(problem, settings, folder)
        names = ("learner", "seed", "norm", "test_query")
        about = {**{name: plain[name] for name in names}, "config": plain, "peak_bytes": peak_bytes()}
        about["task_list"] = build.list_of_test_tasks(plain)
        return finish(problem, tested, folder, {**about, **origin})
    finally:
        folder.close()


@functools.cache
def facts() -> dict[str, str]:
    """What a result must say of its origin, as it is when first asked: commit, hardware, versions and command."""
    device = jax.devices()[0]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    main_module = sys.modules["__main__"].__spec__
    kind = f"{os.cpu_count()} cores {platform.machine()}" if device.platform == "cpu" else device.device_kind
    return {
        "commit": commit or "unknown",
        "hardware": f"{len(jax.devices())} x {device.platform}, {kind}",
        "versions": f"python {platform.python_version()}, jax {jax.__version__}",
        "command": " ".join(["python -m", main_module.name, *map(_portable, sys.argv[1:])]) if main_module else "",
    }


def _portable(word: str) -> str:
    """A flag as it would be written on any machine: of an absolute path the last two parts."""
    flag, equals, value = word.partition("=")
    return f"{flag}={'/'.join(Path(value).parts[-2:])}" if equals and Path(value).is_absolute() else word


def peak_bytes() -> dict[str, int]:
    """The most memory this process has held: resident on the host, and on its first device where that can say."""
    on_device = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    host = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    return host if on_device is None else {**host, "device": on_device}


def describe(result: dict[str, Any]) -> str:
    """One line: score with interval, tasks with the start of their list's digest, normalisation and query size."""
    score, interval = result["score"], result["interval"]
    if result["metric"] == "accuracy":
        value = f"accuracy {100 * score:.2f} % ± {100 * interval:.2f}"
    else:
        value = f"mse {score:.4f} ± {interval:.4f}"
    tasks = f"{result['test_tasks']} tasks" + (f" {result['task_list'][:12]}" if "task_list" in result else "")
    return (
        f"{result['learner']}: test {value} (95 %, {tasks}, norm {result['norm']}, "
        f"{result['test_query']} queries, seed {result['seed']}, {result['wall_seconds']:.0f} s)"
    )
