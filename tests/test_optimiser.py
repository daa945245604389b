"""The optimiser of meta-training: Adam with a cosine, and Muon on large matrices beside it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_train import small_config

from experiments.run import run_config, run_seeds
from oplstm_jax.optimiser import adam_and_muon, make_optimiser
from oplstm_jax.problem import Settings
from oplstm_jax.signals import Interrupted
from oplstm_jax.workdir import Workdir

RATE = 0.01


def test_a_cosine_takes_the_learning_rate_to_its_end():
    """With a constant gradient every step of Adam is of the learning rate's size."""
    tasks = {"train_tasks": 8, "validate_every": 1, "log_every": 1, "validation_tasks": 1, "test_tasks": 1}
    settings = Settings(seed=0, meta_batch=2, learning_rate=0.1, patience_tasks=0, final_learning_rate=0.02, **tasks)
    optimiser = make_optimiser(settings)
    params, sizes = jnp.zeros(1), []
    state = optimiser.init(params)
    for _ in range(6):
        updates, state = optimiser.update(jnp.ones(1), state, params)
        sizes.append(-updates[0])
    cosine = 0.02 + 0.08 * 0.5 * (1 + np.cos(np.pi * np.arange(5) / 4))
    np.testing.assert_allclose(sizes, [*cosine, 0.02], rtol=1e-4)


@pytest.fixture(scope="module")
def second_step():
    """Gradients and the updates of a second step, for a large matrix among what is too thin or no matrix."""
    shapes = {"large": (40, 24), "thin": (40, 15), "vector": (40,), "kernel": (3, 3, 16, 16)}
    keys = dict(zip(shapes, jax.random.split(jax.random.key(0), len(shapes)), strict=True))
    params = {name: jnp.zeros(shape) for name, shape in shapes.items()}
    grads = [{n: jax.random.normal(jax.random.fold_in(keys[n], i), shapes[n]) for n in shapes} for i in (0, 1)]
    optimiser = adam_and_muon(RATE)
    _, state = optimiser.update(grads[0], optimiser.init(params), params)
    return params, grads, optimiser.update(grads[1], state, params)[0]


def test_a_large_matrix_moves_by_equal_singular_values_of_the_learning_rates_size(second_step):
    _, grads, updates = second_step
    values = jnp.linalg.svd(updates["large"], compute_uv=False)
    assert jnp.linalg.svd(grads[1]["large"], compute_uv=False)[-1] < 0.3 * jnp.linalg.norm(grads[1]["large"], 2)
    np.testing.assert_allclose(values / values.mean(), 1, atol=0.4)  # five steps of Newton and Schulz come so near
    assert float(jnp.sqrt(jnp.mean(updates["large"] ** 2))) == pytest.approx(RATE, rel=0.2)
    momentum = grads[0]["large"] * 0.05 + grads[1]["large"] * 0.05
    assert float(jnp.vdot(updates["large"], momentum)) < 0


@pytest.mark.parametrize("name", ["thin", "vector", "kernel"])
def test_everything_else_moves_as_by_adam(second_step, name):
    params, grads, updates = second_step
    adam = optax.adam(RATE)
    _, state = adam.update(grads[0], adam.init(params), params)
    np.testing.assert_array_equal(updates[name], adam.update(grads[1], state, params)[0][name])


@pytest.fixture
def config():
    """Of a small run that has large matrices."""
    config = small_config(optimiser="muon", final_learning_rate=0.0)
    config.options.sizes = (16, 16)
    return config


@pytest.mark.slow
def test_a_run_by_muon_is_resumed_bit_for_bit(config, tmp_path, monkeypatch):
    whole = run_config(config, tmp_path / "whole")
    log = Workdir.log

    def interrupting_log(self, line):
        log(self, line)
        if line["step"] == 25:
            raise Interrupted(2)

    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(Workdir, "log", interrupting_log)
        run_config(config, tmp_path / "stopped")
    assert run_config(config, tmp_path / "stopped")["params_sha256"] == whole["params_sha256"]


@pytest.mark.slow
def test_a_run_by_muon_is_the_same_among_seeds(config, tmp_path):
    whole = run_config(config, tmp_path / "whole")
    config.num_seeds = 2
    together = run_seeds(config, tmp_path / "together")
    assert together[0]["score"] == pytest.approx(whole["score"], rel=1e-4)
    assert together[1]["params_sha256"] != together[0]["params_sha256"]


def test_an_unknown_optimiser_is_refused(tmp_path):
    with pytest.raises(ValueError, match="optimiser is 'sgd': expected adam or muon"):
        run_config(small_config(optimiser="sgd"), tmp_path)
