"""The table of a sweep: scores by variant, and by the number of passes they are tested with."""

from pathlib import Path
from typing import Any

from experiments.finding import Finding, write_finding
from experiments.sweeps import Sweep
from oplstm_jax import figures_beyond
from oplstm_jax.files import read_arrays
from oplstm_jax.records import read_metrics, read_result, write_result
from oplstm_jax.statistics import Estimate, estimate
from oplstm_jax.trained import score_each


def write(sweep: Sweep, root: Path, to: Path, seeds: int) -> str:
    """Writes table.md, table.json and figure.png of the finished runs of so many seeds into a folder; returns the text.

    Tests that are missing are made first, in a folder `passes<T>` of each run. Raises ValueError if no run is finished.
    """
    done = {variant.name: runs for variant in sweep.variants if (runs := _finished(root / variant.folder, seeds))}
    if not done:
        raise ValueError(f"{root}: no finished run of this sweep there")
    rows = [_row(sweep, name, runs) for name, runs in done.items()]
    heads = ("variant", "LSTM parameters", "validation", "of each seed", *_columns(sweep))
    to.mkdir(parents=True, exist_ok=True)
    _draw(to / "figure.png", sweep, done)
    return write_finding(Finding(sweep.title, heads, rows, _about(sweep, next(iter(done.values())))), to)


def _finished(folder: Path, seeds: int) -> list[Path]:
    """The folders of the finished runs of one variant, at most one per seed; seed 0 trained alone has the variant's."""
    places = [folder / f"seed{seed}" for seed in range(seeds)]
    if read_result(places[0]) is None:
        places[0] = folder
    return [place for place in places if read_result(place) is not None]


def _row(sweep: Sweep, name: str, runs: list[Path]) -> tuple:
    validation = [_result(run)["validation_score"] for run in runs]
    tested = [_over_seeds(runs, passes) for passes in _tests(sweep)]
    each = " ".join(f"{score:.4f}" for score in validation)
    return (name, _lstm_parameters(runs[0]), estimate(validation), each, *tested)


def _lstm_parameters(run: Path) -> int:
    """Numbers in the update rules of OP-LSTM, or in a plain LSTM, without those of a network."""
    arrays = read_arrays(run / "params.npz", "parameters")
    return sum(array.size for name, array in arrays.items() if "rule/" in name or name.startswith("lstm/"))


def _columns(sweep: Sweep) -> list[str]:
    return [f"test, {passes} passes" if passes else "test" for passes in _tests(sweep)]


def _tests(sweep: Sweep) -> tuple[int, ...]:
    """Numbers of passes a variant is tested with; 0 stands for its own."""
    return () if sweep.selects else (0, *sweep.passes)


def _over_seeds(runs: list[Path], passes: int) -> Estimate:
    places = [run / f"passes{passes}" if passes else run for run in runs]
    if missing := [run for run, place in zip(runs, places, strict=True) if read_result(place) is None]:
        _test_with(passes, missing)
    return estimate([_result(place)["score"] for place in places])


def _test_with(passes: int, runs: list[Path]) -> None:
    """Tests runs of one configuration with another number of passes, in one program, into a folder `passes<T>` each."""
    for run, (result, scores) in zip(runs, score_each(runs, eval_passes=passes), strict=True):
        (run / f"passes{passes}").mkdir(exist_ok=True)
        write_result(run / f"passes{passes}", result, scores)


def _result(run: Path) -> dict[str, Any]:
    found = read_result(run)
    assert found is not None
    return found


def _draw(path: Path, sweep: Sweep, done: dict[str, list[Path]]) -> None:
    """Scores by passes where variants are tested with several, else validation scores while they train."""
    metric = _result(next(iter(done.values()))[0])["metric"]
    panels: dict[str, dict[str, list[tuple[float, Estimate]]]] = {}
    for place, (name, runs) in enumerate(done.items()):
        panel = panels.setdefault(f"variants {place // 5 + 1}" if len(done) > 5 else "variants", {})
        panel[name] = [(passes, _over_seeds(runs, passes)) for passes in sweep.passes] or _curve(runs)
    labels = ("passes when tested", f"test {metric}") if sweep.passes else ("training tasks", f"validation {metric}")
    figures_beyond.lines(path, panels, *labels, log=metric == "mse")


def _curve(runs: list[Path]) -> list[tuple[float, Estimate]]:
    lines = [[line for line in read_metrics(run) if "validation_score" in line] for run in runs]
    return [
        (line[0]["tasks"], estimate([seed["validation_score"] for seed in line])) for line in zip(*lines, strict=True)
    ]


def _about(sweep: Sweep, runs: list[Path]) -> str:
    result = _result(runs[0])
    config, metric = result["config"], "Mean squared error" if result["metric"] == "mse" else "Accuracy"
    tests = "no test tasks were scored" if sweep.selects else f"{result['test_tasks']} test tasks a seed"
    return (
        f"{metric}, mean and 95 % interval over seeds; {config['data']}, {config['shot']}-shot, "
        f"{config['train_tasks']} meta-training tasks a run, {config['validation_tasks']} validation tasks, {tests}."
    )
