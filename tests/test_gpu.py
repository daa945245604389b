"""What is done differently on GPUs is the same function; it is tested here on a CPU that is taken for one."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from as_gpu import take_for_gpu

from oplstm_jax.learners.op_lstm_head import op_lstm_head
from oplstm_jax.learners.rules import FEW, run_passes
from oplstm_jax.losses import cross_entropy
from oplstm_jax.meta import task_objective
from oplstm_jax.nets import gpu
from oplstm_jax.nets.conv4 import Conv4
from oplstm_jax.types import Episode, Split

WAY = 3


@pytest.fixture
def hopper(monkeypatch):
    take_for_gpu(monkeypatch)
    return monkeypatch


def text(function, *args):
    return str(jax.make_jaxpr(lambda *args: function(*args))(*args))  # a new function, so that it is traced anew


def test_a_cpu_keeps_everything_as_it_is():
    x = jnp.ones((2, 4, 4, 3))
    assert gpu.features_last(x) is x
    assert not gpu.wanted("UNROLL")
    assert gpu.compute_capability() == 0


@pytest.mark.parametrize(
    ("capability", "dtype", "pinned"),
    [(9.0, "float32", True), (8.0, "float32", False), (8.0, "bfloat16", True), (6.1, "bfloat16", False)],
)
def test_the_order_is_pinned_where_convolutions_read_it(hopper, capability, dtype, pinned):
    hopper.setattr(gpu, "compute_capability", lambda: capability)
    x = jnp.ones((2, 4, 4, 3), dtype)
    assert ("layout_constraint" in text(gpu.features_last, x)) == pinned
    hopper.setenv("OPLSTM_LAYOUT", "0")
    assert "layout_constraint" not in text(gpu.features_last, x)


def test_conv4_pins_maps_of_learners_that_share_its_kernels(hopper):
    x = jnp.ones((2, 16, 16, 3))
    shared, own = (Conv4(8, 5, fused=kind) for kind in (True, False))
    params = shared.init(jax.random.key(0), x)
    assert text(shared.apply, params, x).count("layout_constraint") == 2 * shared.blocks
    assert "layout_constraint" not in text(own.apply, params, x)


def test_passes_follow_one_another_without_a_loop_where_they_are_few_and_small(hopper):
    def loops(count, small):
        passes = jax.jit(lambda x: run_passes(lambda carry, n: (jnp.sin(carry), n), x, count, small))
        return "while" in passes.lower(1.0).as_text()

    assert not loops(FEW, small=True)
    assert loops(FEW + 1, small=True)
    assert loops(FEW, small=False)
    hopper.setenv("OPLSTM_UNROLL", "0")
    assert loops(FEW, small=True)


@pytest.mark.slow
def test_learner_computes_the_same(hopper):
    """OP-LSTM on Conv-4, losses of two tasks together and their gradients, with everything for GPUs and without."""
    learner = op_lstm_head(Conv4(8, None, fused=True), passes=3)
    x = jax.random.uniform(jax.random.key(0), (2, 2 * WAY, 16, 16, 1))  # of two tasks with two examples a class
    split = Split(x, jnp.stack([jnp.tile(jnp.eye(WAY), (2, 1))] * 2))
    episodes = Episode(split, Split(x[:, ::-1], split.y[:, ::-1]))
    params = learner.init(jax.random.key(1), jax.tree.map(lambda a: a[0], episodes))

    def gradients():
        objective = task_objective(learner, cross_entropy)

        @jax.jit
        def loss(params):
            return jnp.sum(jax.vmap(lambda episode: objective(params, episode)[0])(episodes))

        assert ("layout_constraint" in text(loss, params)) == gpu.wanted("LAYOUT")
        return jax.value_and_grad(loss)(params)

    found = gradients()
    hopper.setenv("OPLSTM_LAYOUT", "0")
    hopper.setenv("OPLSTM_UNROLL", "0")
    wanted = gradients()
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["test_compat", "test_op_lstm", "test_contract"])
def test_golden_cases_and_contract_hold(module):
    """What the authors' implementation computes, and what every learner promises, on the paths that GPUs take."""
    tests = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    words = ["pytest", "-q", "-p", "as_gpu", "-p", "no:cacheprovider", str(tests / f"{module}.py")]
    words += ["-k", "not shared_folder"]  # large cases take more than half an hour of emulation
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=tests.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
