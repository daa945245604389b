"""How busy a GPU is kept by meta-training, chunk after chunk: the share of time it works, and its longest rest.

    python -m benchmarks.idle [--config=experiments/configs/natural.py:op_lstm_head] [--seconds=3]

Trains on noise of the size of the configuration's images (glyphs, where it reads those) and profiles it once it is under way.
"""

import json
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

import jax
from absl import flags
from ml_collections import config_flags

from benchmarks import problems
from experiments import cli
from experiments.run import run_config

CONFIG = "experiments/configs/natural.py:op_lstm_head"
config_flags.DEFINE_config_file("config", None, f"Configuration file, with fields after it; else {CONFIG}.")
flags.DEFINE_float("seconds", 3.0, "How long to profile.", lower_bound=0.1)
flags.DEFINE_integer("tasks", 12_000, "How many tasks to train on.", lower_bound=1)
TESTED = 25  # tasks of validation and of the test, which are not what is profiled


def main() -> None:
    if (kind := jax.default_backend()) != "gpu":
        raise ValueError(f"there is nothing to profile: expected a GPU, not {kind}")
    config = flags.FLAGS.config or flags.FLAGS["config"].parser.parse(CONFIG)
    config.train_tasks = config.validate_every = flags.FLAGS.tasks
    config.validation_tasks = config.test_tasks = TESTED
    with tempfile.TemporaryDirectory() as folder:
        if config.image_size == 84:
            config.data = problems.noise_pack(Path(folder))
        run, traces = Path(folder) / "run", Path(folder) / "traces"
        ended = threading.Event()
        watcher = threading.Thread(target=_profile, args=(run / "metrics.jsonl", traces, ended))
        watcher.start()
        try:
            run_config(config, run)
        finally:
            ended.set()
            watcher.join()
        spans = busy_spans(traces)
    if not spans:
        raise ValueError(f"the profile holds no work of a device: expected a GPU, not {jax.default_backend()}")
    print(json.dumps(rest(spans)))


def rest(spans: Iterable[tuple[float, float]]) -> dict[str, float]:
    """Of spans (start, end) in nanoseconds: seconds in all, the share in which any is open, and the longest rests, ms."""
    merged: list[list[float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    whole = merged[-1][1] - merged[0][0]
    gaps = sorted(((b[0] - a[1]) / 1e6 for a, b in zip(merged, merged[1:], strict=False)), reverse=True)
    return {"seconds": whole / 1e9, "busy": sum(end - start for start, end in merged) / whole, "longest_rests_ms": gaps[:8]}


def busy_spans(folder: Path) -> list[tuple[float, float]]:
    """When the streams of the GPUs worked, in nanoseconds, of the profile in `folder`."""
    spans = []
    for file in folder.rglob("*.xplane.pb"):
        for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
            if plane.name.startswith("/device:GPU"):
                lines = [line for line in plane.lines if line.name.startswith("Stream")]
                spans += [(e.start_ns, e.start_ns + e.duration_ns) for line in lines for e in line.events]
    return spans


def _profile(metrics: Path, folder: Path, ended: threading.Event, chunks: int = 3) -> None:
    """Waits until some chunks are done, then profiles this process, for the time asked for or until the run has ended."""
    while not metrics.exists() or len(metrics.read_text().splitlines()) < chunks:
        if ended.wait(0.05):
            return
    with jax.profiler.trace(str(folder)):
        ended.wait(flags.FLAGS.seconds)


if __name__ == "__main__":
    cli.run(main)
