"""Three ways to convolve with other kernels in every task, as learners that adapt convolutions must, measured in one run.

    python -m benchmarks.convolutions [--json=FILE --seconds=2]

    grouped   tasks vectorised: XLA makes one grouped convolution of them
    patches   tasks vectorised: 3x3 patches of the images times the kernels as matrices, one batched product
    scan      one task after another, each with the convolution of the library (`tasks_at_once=1`)

Each row is one layer of Conv-4 for four tasks, forward and backward, images and kernels both differentiated: evaluations
per second (of processor time on a CPU, of the clock elsewhere), and how many of the fastest way's time the others take.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from benchmarks import measure
from experiments import cli
from oplstm_jax.files import write_text
from oplstm_jax.nets.conv import conv3x3, plain_conv3x3
from oplstm_jax.types import Array

flags.DEFINE_float("seconds", 2.0, "Time for each measurement.", lower_bound=0.1)
flags.DEFINE_string("json", None, "Also write the rows to this file.")

TASKS, FILTERS = 4, 64
# (images of a task, pixels square, features): first and inner layers at 28 and 84 pixels, 5 support or 75 query images.
LAYERS = ((5, 28, 1), (5, 14, 64), (75, 28, 1), (75, 14, 64), (75, 7, 64), (5, 84, 3), (5, 42, 64), (75, 84, 3), (75, 21, 64))


def patches_conv3x3(x: Array, kernel: Array) -> Array:
    """`conv3x3` as a product of 3x3 patches [M, H, W, 9 F] with the kernel as a matrix [9 F, G]."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    patches = jnp.concatenate([padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], -1)
    return patches @ kernel.reshape(-1, kernel.shape[-1])


WAYS = {
    "grouped": jax.vmap(plain_conv3x3),
    "patches": jax.vmap(patches_conv3x3),
    "scan": lambda x, kernel: jax.lax.map(lambda pair: conv3x3(*pair), (x, kernel)),
}


def main() -> None:
    on_cpu = jax.default_backend() == "cpu"
    print(table([]), flush=True)
    rows = []
    for images, size, features in LAYERS:
        works = {way: measure.repeated(_layer(way, images, size, features)) for way in WAYS}
        rates = {way: rate[on_cpu] for way, rate in measure.compare(works, flags.FLAGS.seconds).items()}
        rows.append({"images": images, "size": size, "features": features, "per_second": rates})
        print(_line(rows[-1]), flush=True)
    gflops = measure.matmul_gflops()[on_cpu]
    print(f"platform {jax.default_backend()}, {gflops:.0f} GFLOPS{' a core' * on_cpu} in a 2048 x 2048 product")
    if flags.FLAGS.json:
        write_text(Path(flags.FLAGS.json), json.dumps(rows, indent=1) + "\n")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of the JSON file as Markdown: evaluations per second and, in brackets, times the fastest way's time."""
    head = ["images of a task", "pixels", "features", *WAYS]
    return "\n".join([f"| {' | '.join(head)} |", "| ---: " * len(head) + "|", *map(_line, rows)])


def _line(row: dict[str, Any]) -> str:
    rates = row["per_second"].values()
    cells = [f"{rate:.3g} ({max(rates) / rate:.2g})" for rate in rates]
    return f"| {row['images']} | {row['size']} | {row['features']} | {' | '.join(cells)} |"


def _layer(way: str, images: int, size: int, features: int):
    """key -> number: forward and backward of one layer for all tasks."""

    def run(key: Array) -> Array:
        x_key, kernel_key = jax.random.split(key)
        x = jax.random.uniform(x_key, (TASKS, 1, 1, 1, features)) * jnp.ones((TASKS, images, size, size, features))
        kernels = jax.random.normal(kernel_key, (TASKS, 3, 3, features, FILTERS))
        grads = jax.grad(lambda x, k: jnp.sum(WAYS[way](x, k) ** 2), (0, 1))(x, kernels)
        return sum(jnp.sum(jnp.abs(gradient)) for gradient in grads)

    return run


if __name__ == "__main__":
    cli.run(main)
