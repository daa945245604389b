"""One run: a configuration, a workdir, a result. What `train` does once and `reproduce` many times."""

import datetime
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

from experiments import similarity
from oplstm_jax import build
from oplstm_jax.train import finish, train
from oplstm_jax.workdir import Workdir


def run_config(config: ConfigDict, workdir: str | Path, gradient_step: float | None = None) -> dict[str, Any]:
    """Trains and tests (or goes on with, or looks up) one configuration in a workdir; returns its result.

    gradient_step: for OP-LSTM's last layer, the step size of gradient descent with which its updates are compared at
    every validation.

    Raises ValueError for a bad configuration or a workdir that holds another one.
    """
    values, origin = plain(config), facts()
    settings, problem = build.build_settings(values), build.build_problem(values)
    for split in ("train", "validation", "test"):  # impossible tasks are refused now, not when their turn comes
        problem.sampler(split)
    folder = Workdir(workdir, values)
    try:
        if (result := folder.result()) is not None:
            return result
        probe = None if gradient_step is None else similarity.probe(values, gradient_step)
        tested = train(problem, settings, folder, probe)
        names = ("learner", "seed", "norm", "test_query")
        about = {**{name: values[name] for name in names}, "config": values, "peak_bytes": peak_bytes()}
        return finish(problem, tested, folder, {**about, **origin})
    finally:
        folder.close()


def plain(config: ConfigDict) -> dict[str, Any]:
    """A configuration as JSON would hold it, references resolved."""
    return json.loads(config.to_json_best_effort())


@functools.cache
def facts() -> dict[str, str]:
    """What a result must say of its origin, as it is when first asked: commit, hardware, versions, command and date."""
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
        "command": " ".join(["python -m", main_module.name, *map(portable, sys.argv[1:])]) if main_module else "",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def portable(word: str) -> str:
    """A flag as it would be written on any machine: of an absolute path the last two parts."""
    flag, equals, value = word.partition("=")
    return f"{flag}={'/'.join(Path(value).parts[-2:])}" if equals and Path(value).is_absolute() else word


def peak_bytes() -> dict[str, int]:
    """The most memory this process has held: resident on the host, and on its first device where that can say."""
    on_device = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    host = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    return host if on_device is None else {**host, "device": on_device}


def describe(result: dict[str, Any]) -> str:
    """One line: score with interval, tasks, normalisation and query size."""
    score, interval = result["score"], result["interval"]
    if result["metric"] == "accuracy":
        value = f"accuracy {100 * score:.2f} % ± {100 * interval:.2f}"
    else:
        value = f"mse {score:.4f} ± {interval:.4f}"
    return (
        f"{result['learner']}: test {value} (95 %, {result['test_tasks']} tasks, norm {result['norm']}, "
        f"{result['test_query']} queries, seed {result['seed']}, {result['wall_seconds']:.0f} s)"
    )
