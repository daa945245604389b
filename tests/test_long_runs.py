"""Long runs: memory stays flat, nothing is compiled again, logs and checkpoints stay small."""

import os
import resource

import jax
import pytest
from tiny import SETTINGS, line_problem

from oplstm_jax.records import read_metrics
from oplstm_jax.train import train
from oplstm_jax.workdir import Workdir

COMPILED = "/jax/core/compile/backend_compile_duration"
LINE_BYTES, CHECKPOINT_BYTES, CHECKPOINTS = 300, 100_000, 3


class Watched(Workdir):
    """A workdir that notes at every log point how much memory is held and how many programs were compiled."""

    def __init__(self, path, config):
        super().__init__(path, config)
        self.notes = []
        self._compiled = 0
        jax.monitoring.register_event_duration_secs_listener(self._count)

    def _count(self, event, duration, **about):
        self._compiled += event == COMPILED

    def log(self, line):
        super().log(line)
        with open("/proc/self/statm") as file:
            resident = int(file.read().split()[1]) * resource.getpagesize()
        self.notes.append({"resident": resident, "arrays": len(jax.live_arrays()), "compiled": self._compiled})


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc to see the resident memory")
@pytest.mark.parametrize("steps", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_memory_programs_and_files_do_not_grow(tmp_path, steps):
    tasks = steps * SETTINGS.meta_batch
    settings = SETTINGS._replace(
        learning_rate=1e-3, train_tasks=tasks, log_every=tasks // 100, validate_every=tasks // 20
    )
    workdir = Watched(tmp_path, settings._asdict())
    train(line_problem(), settings, workdir)
    workdir.close()
    early, late = workdir.notes[len(workdir.notes) // 4], workdir.notes[-1]
    assert len(workdir.notes) == len(read_metrics(tmp_path)) == 100
    assert late["arrays"] <= early["arrays"] + 2
    assert late["compiled"] == early["compiled"]
    assert late["resident"] - early["resident"] < 8 * 2**20
    assert (tmp_path / "metrics.jsonl").stat().st_size < 100 * LINE_BYTES
    assert len(list((tmp_path / "checkpoints").iterdir())) <= CHECKPOINTS
    assert size(tmp_path / "checkpoints") < CHECKPOINTS * CHECKPOINT_BYTES
    print(f"{steps} steps: {(late['resident'] - early['resident']) / 2**20:.1f} MiB more, {late['arrays']} arrays")
