"""Takes the machine for a GPU, without kernels of our own: `pytest -p as_gpu`, with this folder on the PYTHONPATH."""

import os

os.environ["OPLSTM_KERNELS"] = "0"

import jax

from oplstm_jax.nets import gpu

jax.default_backend = lambda: "gpu"  # type: ignore[assignment]
gpu.compute_capability = lambda: 9.0  # type: ignore[assignment]
