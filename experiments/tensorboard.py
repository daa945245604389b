"""Writes TensorBoard event files of runs, without TensorFlow; needs the extra `tensorboard`.

    python -m experiments.tensorboard --workdir=runs [--follow] [--to=FOLDER]
    tensorboard --logdir=runs

Takes every run in the folder and below it. Curves are loss, score, validation_score and tasks_per_second, over
training tasks, and the test score of finished runs. Events go into `tensorboard/` of each run, or into --to under the
same names. Given again, events are written anew. With --follow also what running runs add is written, until Ctrl-C.
"""

import time
from pathlib import Path
from typing import Any

from absl import flags

from experiments import cli
from oplstm_jax.records import read_metrics, read_result

FOLDER = "tensorboard"
NOT_CURVES = ("step", "tasks")

flags.DEFINE_string("workdir", None, "Folder of a run, or of many.")
flags.DEFINE_string("to", None, "Folder for the event files (a folder `tensorboard` in each run if not given).")
flags.DEFINE_bool("follow", False, "Go on with what running runs add, until Ctrl-C.")
flags.DEFINE_float("every", 5.0, "Seconds between two looks at running runs, with --follow.", lower_bound=0.1)


class Events:
    """The event files of one run. `update` writes what is new since it was last called."""

    def __init__(self, run: Path, target: Path):
        self._run, self._target = run, target
        self._writer: Any = None
        self._written: list[dict] = []
        self._finished = False

    def update(self) -> int:
        """Writes new lines of metrics and, once, the result. Returns how many lines were written."""
        if not (self._run / "metrics.jsonl").exists():  # the run was removed; its folder is not made again
            return 0
        lines = read_metrics(self._run)
        if self._writer is None or lines[: len(self._written)] != self._written:
            self._start()  # a resumed run drops lines and writes them again
        new = lines[len(self._written) :]
        for line in new:
            for name in line.keys() - set(NOT_CURVES):
                self._add(name, line[name], line["tasks"])
        self._written = lines
        result = read_result(self._run)
        if result is not None and lines and not self._finished:
            self._add(f"test_{result['metric']}", result["score"], lines[-1]["tasks"])
            self._finished = True
        self._writer.flush()
        return len(new)

    def _add(self, name: str, value: float, tasks: int) -> None:
        _, proto, summaries = _tensorboardx()
        summary = summaries.scalar(name, value)
        self._writer.write_event(proto.event_pb2.Event(wall_time=time.time(), step=tasks, summary=summary))

    def _start(self) -> None:
        """Event files of their own, in the place of those that earlier commands left."""
        self.close()
        for left in self._target.glob("events.out.tfevents.*"):
            left.unlink()
        self._target.mkdir(parents=True, exist_ok=True)
        self._writer = _tensorboardx()[0].EventsWriter(str(self._target / "events"))
        self._written, self._finished = [], False

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def main() -> None:
    root = Path(cli.required("workdir"))
    if not runs_below(root) and not flags.FLAGS.follow:
        raise ValueError(f"workdir {root}: no metrics.jsonl there or below: expected the folder of one run or of many")
    target = Path(flags.FLAGS.to) if flags.FLAGS.to else None
    known: dict[Path, Events] = {}
    try:
        while True:
            runs = runs_below(root)
            for gone in known.keys() - set(runs):
                known.pop(gone).close()
            for run in runs:
                known.setdefault(run, Events(run, _place(run, root, target)))
            count = sum(events.update() for events in known.values())
            if count:
                hint = f"see them with: tensorboard --logdir={target or root}"
                print(f"{count} lines of {len(known)} runs; {hint}", flush=True)
            if not flags.FLAGS.follow:
                return
            time.sleep(flags.FLAGS.every)
    finally:
        for events in known.values():
            events.close()


def runs_below(root: Path) -> list[Path]:
    """The folders at or below `root` that hold metrics, in order."""
    return sorted(file.parent for file in root.rglob("metrics.jsonl"))


def _place(run: Path, root: Path, target: Path | None) -> Path:
    return run / FOLDER if target is None else target / run.relative_to(root)


def _tensorboardx() -> Any:
    """The package's parts that write at once (its SummaryWriter leaves that to a thread that cannot be waited for)."""
    try:
        from tensorboardX import event_file_writer, proto, summary
    except ImportError:
        raise ValueError("event files need tensorboardX (the extra `tensorboard`): pip install tensorboardX") from None
    return event_file_writer, proto, summary


if __name__ == "__main__":
    cli.run(main)
