"""How the suite compiles: thousands of small programs once each; compiling fast matters, running fast does not."""

import contextlib
import functools
import os
import subprocess
import sys

LEVEL = "--xla_backend_optimization_level="
FEWER = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def fast(level: int = 0) -> str:
    """XLA flags, those of the environment too: no optimisation, the older code generator, a program in one piece.

    Without optimisation it takes a third of the time; pieces to compile side by side cost a sixth more, and the cores
    are busy anyway. An XLA that has lost the last two goes without. A process that inherits flags from another one of
    the suite keeps them. What runs for a while takes level 1.
    """
    given = os.environ.get("XLA_FLAGS", "")
    if LEVEL in given:
        return given.replace(f"{LEVEL}0", f"{LEVEL}{level}")
    return " ".join([f"{LEVEL}{level}", *([FEWER] if known(FEWER) else []), given])


def known(flags: str) -> bool:
    """Whether the installed XLA takes these flags. One that it does not know ends the process, so another one tries."""
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    return not subprocess.run(command, env=environment, capture_output=True, check=False).returncode


def share_context() -> None:
    """Has JAX write all programs of this process in one context of its compiler, and not each in a new one.

    A new one takes as long as a small program itself. It is JAX's own affair: a version without it goes without.
    """
    with contextlib.suppress(ImportError, AttributeError):
        from jax._src.interpreters import mlir

        mlir.make_ir_context = functools.cache(mlir.make_ir_context)
