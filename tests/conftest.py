"""Strict settings for every test: no typed key is used twice, no silent rank promotion, warnings are errors."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# The suite compiles thousands of small programs once each: compiling fast matters, running fast does not.
os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"

# Equal programs are compiled once for all processes of a session: workers and the commands they start inherit this.
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="compiled-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import jax
import pytest
from faults import Commands

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

# Real data and golden cases of the authors' implementation, beside the repository where somebody has them.
SHARED = Path(os.environ.get("OPLSTM_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture
def shared() -> Path:
    """The folder with golden cases and real data; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the shared data folder ({SHARED.name}) beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    """Runs commands, each in a process of its own that costs no imports."""
    server = Commands(tmp_path_factory.mktemp("commands"))
    yield server
    server.close()


@pytest.fixture
def x64():
    """Float64 for one test."""
    with jax.enable_x64(True):
        yield
