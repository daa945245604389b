"""A finished run as a learner with its parameters, and its score under other conditions than it was trained for."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from oplstm_jax import build, params
from oplstm_jax.data.families import family_of
from oplstm_jax.evaluate import make_evaluate, task_keys
from oplstm_jax.finite import check_scores
from oplstm_jax.hints import hint
from oplstm_jax.records import CONFIG, read_config, read_result
from oplstm_jax.statistics import Estimate, estimate
from oplstm_jax.types import Episode, Learner, Params


class Trained(NamedTuple):
    """The configuration of a run (with what was changed since), the learner it makes and the parameters that fit it."""

    config: dict[str, Any]
    learner: Learner
    params: Params


def load_trained(workdir: str | Path, episode: Episode, **changes: Any) -> Trained:
    """The learner of a finished run, with fields of its configuration changed: eval_passes, way, norm ...

    episode: any of the kind that is to be learned, or its shapes.

    Raises ValueError for an unknown field, if the folder is no finished run, has no parameters, or they do not fit.
    """
    config = read_config(workdir, *CONFIG)
    if (result := read_result(workdir)) is None:
        raise ValueError(f"workdir {workdir}: no result.json: the run is not finished; give its training command again")
    if not (Path(workdir) / "params.npz").exists():
        raise ValueError(f"workdir {workdir}: no params.npz: its parameters were not kept; train it again elsewhere")
    changed = _changed(config, changes)
    known = result.get("features_sha256")  # early results did not say it
    if known is not None and known != build.features_digest(changed):
        raise ValueError(f"features_from {changed['features_from']}: other parameters than the run was trained with")
    learner = build.build_learner(changed, changed["eval_passes"])
    like = jax.eval_shape(learner.init, jax.random.key(0), episode)
    try:
        return Trained(changed, learner, params.load(Path(workdir) / "params.npz", like))
    except ValueError as error:
        if changed["norm"] != config["norm"]:
            reason = f"the run was trained with norm {config['norm']} and its parameters fit no other of that kind"
            raise ValueError(f"norm {changed['norm']}, but {reason}") from error
        if changed["way"] == config["way"]:
            raise
        reason = f"the run was trained with {config['way']} classes and its learner takes no other number"
        raise ValueError(f"{changed['way']} classes, but {reason}") from error


def score_trained(workdir: str | Path, **changes: Any) -> tuple[dict[str, Any], np.ndarray]:
    """Tests a finished run under changed conditions: (its result with the new score, scores of the tasks [n]).

    changes: fields of the configuration; `data` (and `image_size`) may name another set, whose test classes are then
    used at the size the run was trained with.

    Raises ValueError for conditions that are impossible or that the trained parameters do not fit, FloatingPointError
    for scores that are not finite.
    """
    return next(score_each([workdir], **changes))


def score_each(workdirs: Sequence[str | Path], **changes: Any) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """`score_trained` of runs that differ in their seeds alone, by one program."""
    config, trained_on = read_config(workdirs[0], *CONFIG), read_result(workdirs[0]) or {}
    known = trained_on.get("input_shape")  # early results did not say it
    if (other := changes.get("data", config["data"])) != config["data"]:
        pixels = known[0] if known and len(known) == 3 and not family_of(other) else None
        changes = {"image_size": pixels, **changes}
    changed = _changed(config, changes)
    settings = build.build_settings(changed)
    same = {name: config[name] for name in ("data", "image_size")}  # a learner may depend on what it was trained on
    score, sample = build.build_problem({**changed, **same}).score, build.build_sampler(changed, "test")
    shapes = jax.eval_shape(sample, jax.random.key(0))
    found = list(shapes.support.x.shape[1:])
    if known and found != known:
        raise ValueError(f"{changed['data']}: inputs are {found}, but the run was trained on {known}")
    runs = [load_trained(workdir, shapes, **{**changes, **same}) for workdir in workdirs]
    evaluate = make_evaluate(runs[0].learner, score, settings.tasks_at_once)
    for workdir, run in zip(workdirs, runs, strict=True):
        scores = np.asarray(evaluate(run.params, task_keys("test", changed["test_tasks"]), sample))
        check_scores(scores, "test")
        conditions = _conditions({**run.config, **changes})
        yield {**(read_result(workdir) or {}), **conditions, **_outcome(estimate(scores))}, scores


def _changed(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for name in changes:
        if name not in config:
            raise ValueError(f"unknown field {name!r}{hint(name, config)}; fields: {', '.join(sorted(config))}")
    return {**config, **changes}


def _conditions(config: dict[str, Any]) -> dict[str, Any]:
    names = ("norm", "test_query", "data", "way", "shot", "eval_passes")
    return {**{name: config[name] for name in names}, "config": config, "task_list": build.list_of_test_tasks(config)}


def _outcome(tested: Estimate) -> dict[str, Any]:
    return {"score": tested.mean, "interval": tested.interval, "test_tasks": tested.count}
