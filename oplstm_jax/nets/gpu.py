"""What is done differently on NVIDIA GPUs, each of which an environment variable of value 0 leaves off.

    OPLSTM_KERNELS   Conv-4's first block in one kernel (`nets/conv_pool.py`)
    OPLSTM_LAYOUT    feature maps stay in the order in which convolutions read them (`features_last`)
    OPLSTM_UNROLL    a few small passes follow one another without a loop (`learners/rules.py`)
"""

import os

import jax
from jax.experimental.layout import Layout, with_layout_constraint

from oplstm_jax.types import Array

WHAT = ("KERNELS", "LAYOUT", "UNROLL")
HOPPER, VOLTA = 9, 7  # compute capabilities from which on XLA hands features last to cuDNN: of any numbers, of 16 bits


def wanted(what: str) -> bool:
    """Whether this process computes on a GPU and `what`, of WHAT, is not left off."""
    return jax.default_backend() == "gpu" and what not in left_off()


def left_off() -> list[str]:
    """What of WHAT the environment leaves off."""
    return [what for what in WHAT if os.environ.get(f"OPLSTM_{what}") == "0"]


def compute_capability() -> float:
    """Of the first device, such as 9.0; 0 for what is no NVIDIA GPU."""
    try:
        return float(jax.devices()[0].compute_capability)
    except (AttributeError, ValueError):
        return 0.0


def features_last(x: Array) -> Array:
    """x [M, H, W, F], kept in this order in memory where convolutions read it so; elsewhere x as it is.

    XLA likes what a sum keeps before what it takes together. With a dimension of tasks, statistics of feature maps
    [B, M, H, W, F] therefore pull all that lies between two convolutions into the order [B, F, M, H, W], and as the
    convolutions want F last, every map is transposed on its way there, back, and both again for its gradient.
    """
    if not wanted("LAYOUT") or compute_capability() < (HOPPER if x.dtype.itemsize > 2 else VOLTA):
        return x
    return with_layout_constraint(x, Layout(tuple(range(x.ndim))))
