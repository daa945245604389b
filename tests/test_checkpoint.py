"""Checkpoints: which are kept, and what becomes of one that is damaged or does not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from faults import empty_checkpoint

from oplstm_jax.checkpoint import Checkpoints


def test_checkpoints_keep_the_two_newest_and_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step, quality in enumerate([0.1, 0.9, 0.5, 0.9, 0.2, 0.3, None], 1):
        checkpoints.save(step, {"x": jnp.full(3, step)}, quality)
    checkpoints.wait()
    assert sorted(int(p.name) for p in tmp_path.iterdir()) == [2, 6, 7]
    assert checkpoints.best_step() == 2
    np.testing.assert_array_equal(checkpoints.restore_best({"x": jnp.zeros(3, int)})["x"], 2)
    checkpoints.close()


def test_a_damaged_newest_checkpoint_falls_back_with_a_warning(tmp_path, caplog):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, {"x": jnp.full(3, step)}, 0.1)
    checkpoints.close()
    empty_checkpoint(tmp_path / "2")
    again = Checkpoints(tmp_path)
    step, state = again.latest({"x": jnp.zeros(3, int)})
    assert step == 1
    np.testing.assert_array_equal(state["x"], 1)
    assert any("2 cannot be read" in record.getMessage() for record in caplog.records)
    assert not (tmp_path / "2").exists()
    again.close()


def test_a_checkpoint_that_does_not_fit_is_no_fresh_start(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"x": jnp.ones(3)}, 0.1)
    checkpoints.wait()
    with pytest.raises(ValueError, match="none of the checkpoints"):
        checkpoints.latest({"x": jnp.ones(3), "y": jnp.ones(2)})
    checkpoints.close()


def test_typed_keys_are_saved_too(tmp_path):
    checkpoints, state = Checkpoints(tmp_path), {"x": jnp.ones(3), "key": jax.random.key(3)}
    checkpoints.save(1, state, 0.1)
    _, found = checkpoints.latest({"x": jnp.zeros(3), "key": jax.random.key(0)})
    assert jax.random.key_data(found["key"]).tolist() == [0, 3]
    checkpoints.close()
