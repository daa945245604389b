"""Trains every cell of a table of the paper and writes the table beside the published numbers.

    python -m experiments.reproduce sine|omniglot|without_norm|omniglot_conv4|updates_mlp|glyphs --workdir=runs/sine
        [--seeds=0,1,2] [--fraction=0.1] [--learners=op_lstm,maml] [--shots=5,10] [--parts=NAME]
        [--workers=2] [--data=PACK.npz] [--fields=image_size=28,filters=32] [--together]
    python -m experiments.reproduce within|cross|updates --data=mini,cub --workdir=runs/natural [...]
    python -m experiments.reproduce convolutions|base_learners [--data=glyphs,omniglot] --workdir=runs/beyond [...]
    python -m experiments.reproduce order|pooling|best_sine|best_omniglot|best_omniglot_conv4 --workdir=runs/order
        [--together] [...]
    python -m experiments.reproduce all|invariance|beyond --workdir=runs [--data=mini,cub] [...]

Finished cells are skipped and interrupted ones resumed; several processes may share a workdir, and --workers starts
them. --reuse=runs/other takes finished runs of equal configuration from another folder. Folders filled on different
machines are merged by `python -m experiments.merge`; --notrain then writes the tables alone. The workdir ends up
holding a folder per run, table.md (also .json, .csv and .tex) and the figures; for `all` and `invariance` a folder per
table (sine, invariance_sine, ... are names of tables too), and for `all` report.html.
"""

import contextlib
import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from experiments import cli
from experiments.cells import PlannedRun, runs, write_table
from experiments.plan import adopt, check_workers, progress_line, together
from experiments.report import write_report
from experiments.run import describe, plain, run_config, run_together
from experiments.table import FILES, Part, Table
from experiments.tables import DATA_SETS, GROUPS, TABLES, make_table
from oplstm_jax import build
from oplstm_jax.fields import check_numbers
from oplstm_jax.workdir import InUse

flags.DEFINE_string("workdir", None, "Folder of the table; made if it is not there.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of each cell.")
flags.DEFINE_list("learners", None, "Only these learners.")
flags.DEFINE_list("shots", None, "Only these numbers of shots.")
flags.DEFINE_list("parts", None, "Of one table: only these parts, such as tiny for the runs trained there.")
flags.DEFINE_list(
    "data", [], "Other data than the configuration's: a prepared set, an .npz pack or a folder; two for cross."
)
flags.DEFINE_integer("workers", 1, "Processes that share the work; the others write worker<N>.log in the workdir.")
flags.DEFINE_bool("together", False, "Train the seeds of a cell in one program, which compiles once.")
flags.DEFINE_bool("train", True, "--notrain only writes the report of what is finished, also after merging workdirs.")
flags.DEFINE_float("fraction", 1.0, "Fraction of the full training tasks, the authors' where these are known.")
flags.DEFINE_list("fields", [], "Fields that differ from the authors' configuration, such as image_size=28,filters=32.")
flags.DEFINE_list("reuse", [], "Folders whose finished runs are taken where their configuration is the same.")

OTHERWISE_SET = ("learner", "seed", "shot", "way", "data")  # by flags of their own, or by what the table is


def main() -> None:
    name = cli.positional("table", (*TABLES, *GROUPS))
    tables, root, fraction = _tables(name), Path(cli.required("workdir")), flags.FLAGS.fraction
    if not 0 < fraction <= 1:
        raise ValueError(f"flag --fraction is {fraction}: expected above 0 and at most 1")
    seeds = tuple(cli.integers("seeds"))
    folders = {table: root / table if name in GROUPS else root for table in tables}
    if flags.FLAGS.train:
        planned = [run for table in tables for run in runs(tables[table], folders[table], seeds, fraction)]
        _train(root, planned)
    elif not root.is_dir():
        raise ValueError(f"workdir {root}: no such folder")
    for table, folder in folders.items():
        folder.mkdir(exist_ok=True)
        text = write_table(table, tables[table], folder, seeds, fraction)
        print(f"\n{text}\nwritten: " + " ".join(str(folder / file) for file in FILES if (folder / file).exists()))
    if name == "all":
        print(write_report(root, root / "report.html"))


def _tables(name: str) -> dict[str, Table]:
    """The table or tables called `name`, narrowed to the learners and shots asked for."""
    data = tuple(flags.FLAGS.data)
    if name in TABLES:
        return {name: _narrowed(_changed(make_table(name, data)))}
    if flags.FLAGS.parts:
        raise ValueError(f"flag --parts: {name} is more than one table; name one")
    of_data = {member: data if member in DATA_SETS else () for member in GROUPS[name]}
    if data and not any(of_data.values()):
        raise ValueError(f"flag --data: {name} has no table of other data; name one table")
    left_out = [member for member, given in of_data.items() if len(given) not in DATA_SETS.get(member, (0, 1))]
    if left_out:
        print(f"left out: {', '.join(left_out)}: write --data=mini,cub or other sets", file=sys.stderr)
    made = {member: _changed(make_table(member, given)) for member, given in of_data.items() if member not in left_out}
    tables = {member: narrowed for member, table in made.items() if (narrowed := _what_it_has(table))}
    if not tables:
        raise ValueError(f"{name}: no table has these learners and shots")
    return tables


def _changed(table: Table) -> Table:
    """The table with the fields that are asked to differ, which its title then names.

    Raises ValueError for one that a flag of its own sets, or the table.
    """
    if not (fields := flags.FLAGS.fields):
        return table
    fixed = {*OTHERWISE_SET, *(field for part in table.parts for field in part.changes(table.shots[0]))}
    for field in (assignment.partition("=")[0] for assignment in fields):
        if field in fixed:
            others = ", ".join(sorted(fixed))
            raise ValueError(f"flag --fields: {field} is not free in this table: expected others than {others}")

    def changed(part: Part) -> Part:
        return dataclasses.replace(part, get_config=lambda argument: part.get_config(",".join([argument, *fields])))

    title = f"{table.title}, with {' '.join(fields)}"
    return dataclasses.replace(table, title=title, parts=tuple(map(changed, table.parts)))


def _asked_for(table: Table) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Learners and shots by their flags, those of the table where a flag is not given.

    Raises ValueError for a flag that is given and empty.
    """
    for flag in ("learners", "shots", "parts"):
        if flags.FLAGS[flag].value == []:
            raise ValueError(f"flag --{flag} is empty: expected names or numbers, or no such flag")
    shots = tuple(cli.integers("shots")) if flags.FLAGS.shots else table.shots
    return tuple(flags.FLAGS.learners or table.learners), shots


def _what_it_has(table: Table) -> Table | None:
    """The table with those of the learners and shots asked for that it has, None if it has none of them."""
    learners, shots = _asked_for(table)
    learners = tuple(learner for learner in table.learners if learner in learners)
    shots = tuple(shot for shot in table.shots if shot in shots)
    return dataclasses.replace(table, learners=learners, shots=shots) if learners and shots else None


def _narrowed(table: Table) -> Table:
    """The table with the learners, shots and parts asked for. Raises ValueError for one it does not have."""
    learners, shots = _asked_for(table)
    parts = [part.name for part in table.parts]
    for part in flags.FLAGS.parts or ():
        if part not in parts:
            raise ValueError(f"flag --parts: unknown {part!r}: expected {_some_of(parts)}")
    for learner in learners:
        if learner not in table.learners:
            raise ValueError(f"flag --learners: unknown {learner!r}: expected some of {', '.join(table.learners)}")
    if min(shots) < 1:
        raise ValueError(f"flag --shots: {min(shots)} is not a number of shots: expected 1 or more")
    chosen = tuple(part for part in table.parts if part.name in (flags.FLAGS.parts or parts))
    return dataclasses.replace(table, learners=learners, shots=shots, parts=chosen)


def _some_of(parts: list[str]) -> str:
    named = [part for part in parts if part]
    return f"some of {', '.join(named)}" if named else "no such flag: the table is of one part"


def _train(root: Path, planned: list[PlannedRun]) -> None:
    """Trains what is not finished, together with the other workers."""
    workers = flags.FLAGS.workers
    if workers < 1:
        raise ValueError(f"flag --workers is {workers}: expected 1 or more")
    places = [Path(place) for place in flags.FLAGS.reuse]
    for place in places:
        if not place.is_dir():
            raise ValueError(f"flag --reuse: {place}: no such folder")
    for run in planned:
        check_numbers(plain(run.config))
    for config in {run.config.data: run.config for run in planned}.values():
        build.build_sampler(plain(config), "train")  # data that is not there is refused now, not when its turn comes
    root.mkdir(parents=True, exist_ok=True)
    with _other_workers(root, min(workers, len(planned))) as others:
        for group in together(planned) if flags.FLAGS.together else [[run] for run in planned]:
            name = group[0].folder.relative_to(root)
            try:
                copied = [adopt(run, [*places, root]) for run in group]
                line = f"[{progress_line(planned, workers)}] {name}{' (copied)' * all(copied)}"
                print(line, file=sys.stderr, flush=True)
                print("\n".join(map(describe, _run(group))), flush=True)
            except InUse:
                print("left to the process that has it", file=sys.stderr, flush=True)
        codes = [other.wait() for other in others]
        print(f"[{progress_line(planned, workers)}]", file=sys.stderr, flush=True)
    check_workers(codes, planned, root)


def _run(group: list[PlannedRun]) -> list[dict]:
    if len(group) == 1:
        return [run_config(group[0].config, group[0].folder, group[0].gradient_step)]
    if any(run.gradient_step is not None for run in group):
        raise ValueError("flag --together: runs whose updates are measured train one by one")
    return run_together([run.config for run in group], [run.folder for run in group])


@contextlib.contextmanager
def _other_workers(root: Path, count: int) -> Iterator[list[subprocess.Popen]]:
    """Runs this command in count - 1 more processes on the same workdir; they stop when this one does."""
    others = []
    for number in range(1, count):
        command = [sys.executable, "-m", "experiments.reproduce", *sys.argv[1:], "--workers=1"]
        with open(root / f"worker{number}.log", "a") as log:
            others.append(subprocess.Popen(command, stdout=log, stderr=log))
    try:
        yield others
    finally:
        for other in others:
            other.terminate()
            other.wait()


if __name__ == "__main__":
    cli.run(main, words=1)
