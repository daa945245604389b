"""Strict settings for every test: no typed key is used twice, no silent rank promotion, warnings are errors."""

import atexit
import gc
import os
import shutil
import signal
import tempfile
from pathlib import Path

import compiling

# Before JAX starts, and inherited by the commands that tests start.
os.environ["XLA_FLAGS"] = compiling.fast()

import jax
import pytest
from faults import Commands

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

compiling.share_context()

# Equal programs are compiled once in a process. Not shared with others: an entry may be read while it is half written.
COMPILED = tempfile.mkdtemp(prefix="compiled-")
atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)
jax.config.update("jax_compilation_cache_dir", COMPILED)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

# Tracing makes millions of objects that last: the collector would look through them all again and again.
gc.set_threshold(200_000, 20, 100)

# A shell that runs the suite in the background has it ignore Ctrl-C, which tests send to the commands they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Real data and golden cases of the authors' implementation, beside the repository where somebody has them.
SHARED = Path(os.environ.get("OPLSTM_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="module", autouse=True)
def frozen():
    """Nor through what earlier modules left, where a test or Orbax collects: seconds each time, late in the suite."""
    gc.freeze()


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
