"""Workdirs that earlier versions began: configurations without later fields, checkpoints without seals."""

import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from faults import empty_checkpoint

from oplstm_jax.checkpoint import Checkpoints
from oplstm_jax.records import LATER_FIELDS, read_config
from oplstm_jax.workdir import Workdir

CONFIG = {"learner": "maml", "shot": 5, **LATER_FIELDS}
OLD = {name: value for name, value in CONFIG.items() if name not in LATER_FIELDS}


def test_a_field_that_came_later_is_no_other_config(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(OLD))
    Workdir(tmp_path, CONFIG).close()
    assert read_config(tmp_path) == CONFIG


@pytest.mark.parametrize(("before", "now"), [(False, "hidden"), (True, "hidden_and_cell")])
def test_averaged_cells_became_a_way_of_pooling(tmp_path, before, now):
    options = {"sizes": [8, 8], "average_cells": before, "first_pass_targets": False}
    config = {**CONFIG, "learner": "pi_lstm", "options": {**options, "pool": now}}
    del config["options"]["average_cells"]
    (tmp_path / "config.json").write_text(json.dumps({**OLD, "learner": "pi_lstm", "options": options}))
    Workdir(tmp_path, config).close()
    assert read_config(tmp_path) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"skip_nonfinite": True}, "skip_nonfinite is false there, true asked"),
        ({"transformer": {"width": 32}}, "transformer.heads is 4 there, absent asked; .*width is 64 there, 32 asked$"),
        ({"shot": 1}, ": shot is 5 there, 1 asked$"),
    ],
)
def test_another_value_is_another_config(tmp_path, change, message):
    (tmp_path / "config.json").write_text(json.dumps(OLD))
    with pytest.raises(ValueError, match=message):
        Workdir(tmp_path, {**CONFIG, **change})
    assert json.loads((tmp_path / "config.json").read_text()) == OLD


@pytest.fixture
def without_seals(tmp_path):
    """Checkpoints as earlier versions wrote them; the second is the best and the last has no validation."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    options = ocp.CheckpointManagerOptions(best_fn=lambda metrics: metrics["quality"])
    manager = ocp.CheckpointManager(tmp_path, options=options)
    for step, quality in enumerate((0.1, 0.9, 0.5, None), 1):
        metrics = None if quality is None else {"quality": quality, "step": step}
        manager.save(step, args=ocp.args.StandardSave({"x": jnp.full(3, float(step))}), metrics=metrics)
    manager.wait_until_finished()
    manager.close()
    return tmp_path


def test_checkpoints_without_seals_are_resumed_and_the_best_is_known(without_seals):
    like = {"x": jnp.zeros(3)}
    checkpoints = Checkpoints(without_seals)
    step, state = checkpoints.latest(like)
    assert (step, checkpoints.best_step(), checkpoints.best_quality()) == (4, 2, 0.9)
    np.testing.assert_array_equal(state["x"], 4)
    checkpoints.save(5, {"x": jnp.full(3, 5.0)}, 0.7)
    assert checkpoints.best_step() == 2
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore_best(like), {"x": np.full(3, 2.0)})
    checkpoints.close()
    again = Checkpoints(without_seals)
    assert (again.latest(like)[0], again.best_step()) == (5, 2)
    again.close()


def test_a_damaged_best_checkpoint_is_a_clear_error(without_seals):
    empty_checkpoint(without_seals / "2")
    checkpoints = Checkpoints(without_seals)
    with pytest.raises(ValueError, match="the best checkpoint .*/2 cannot be read: .*; move its .* to test step 3"):
        checkpoints.restore_best({"x": jnp.zeros(3)})
    checkpoints.close()
