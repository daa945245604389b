"""Takes the machine for a GPU, without kernels of our own: for a test, or for all of `pytest -p as_gpu`.

As a plugin it needs this folder on the PYTHONPATH.
"""

import jax
import pytest

from oplstm_jax.nets import gpu


def pytest_configure():
    take_for_gpu(pytest.MonkeyPatch())


def take_for_gpu(monkeypatch):
    """A Hopper, as far as `oplstm_jax` can tell."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(gpu, "compute_capability", lambda: 9.0)
    monkeypatch.setenv("OPLSTM_KERNELS", "0")
