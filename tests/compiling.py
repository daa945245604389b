"""How the suite compiles: thousands of small programs once each; compiling fast matters, running fast does not."""

import os
import subprocess
import sys

LEVEL = "--xla_backend_optimization_level="
OLD_EMITTERS = "--xla_cpu_use_fusion_emitters=false"


def fast(level: int = 0) -> str:
    """XLA flags, those of the environment too: no optimisation, and the older code generator where there still is one.

    That takes a third of the time. A process that inherits them from another one of the suite keeps them. What runs
    for a while takes level 1.
    """
    given = os.environ.get("XLA_FLAGS", "")
    if LEVEL in given:
        return given.replace(f"{LEVEL}0", f"{LEVEL}{level}")
    return " ".join([f"{LEVEL}{level}", *([OLD_EMITTERS] if known(OLD_EMITTERS) else []), given])


def known(flag: str) -> bool:
    """Whether the installed XLA takes this flag. One that it does not know ends the process, so another one tries."""
    environment = {**os.environ, "XLA_FLAGS": flag, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    return not subprocess.run(command, env=environment, capture_output=True, check=False).returncode
