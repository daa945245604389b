"""What XLA makes of a training step on an NVIDIA GPU, found out without one: kernels, bytes they move, transposes.

    pip install --no-deps jax-cuda12-plugin==VERSION jax-cuda12-pjrt==VERSION nvidia-cuda-nvcc-cu12  # VERSION: of jax
    python -m benchmarks.compiled [--row=N] [--json=FILE] [--keep=FOLDER]

Compiles the rows of `benchmarks.accelerator`, one step each, for an H200. How long the kernels take only the device
says; how many there are and what they read and write is counted here, and the same each time. `--keep` keeps the
compiled programs. OPLSTM_KERNELS=0, OPLSTM_LAYOUT=0 and OPLSTM_UNROLL=0 leave off what the library does for GPUs.
"""

from pathlib import Path
from typing import Any
from unittest import mock

import jax
from absl import flags
from jax.experimental import topologies
from jax.sharding import AbstractDevice, AbstractMesh

from benchmarks import accelerator, hlo, problems, throughput
from experiments import cli
from oplstm_jax import build
from oplstm_jax.files import write_text
from oplstm_jax.meta import init_state, make_step
from oplstm_jax.nets import gpu
from oplstm_jax.optimiser import make_optimiser

flags.DEFINE_string("keep", None, "Folder for the compiled programs, as text.")
SHARED_FLAGS = ("json", "row")  # of benchmarks.throughput and accelerator

CAPABILITY = 9
H200 = f"""
gpu_device_info {{
  name: "NVIDIA H200"  device_vendor: "NVIDIA Corporation"  cuda_compute_capability {{ major: {CAPABILITY} }}
  threads_per_warp: 32  threads_per_block_limit: 1024  threads_per_core_limit: 2048  core_count: 132  fpus_per_core: 128
  thread_dim_limit_x: 1024  thread_dim_limit_y: 1024  thread_dim_limit_z: 64
  block_dim_limit_x: 2147483647  block_dim_limit_y: 65535  block_dim_limit_z: 65535
  registers_per_core_limit: 65536  registers_per_block_limit: 65536
  shared_memory_per_block: 49152  shared_memory_per_core: 233472  shared_memory_per_block_optin: 232448
  memory_bandwidth: 4800000000000  l2_cache_size: 52428800  device_memory_size: 151397597184  clock_rate_ghz: 1.98
  device_address_bits: 64  driver_version: "13.0.0"  runtime_version: "12.8.0"  compile_time_toolkit_version: "12.8.0"
  dnn_version: "9.10.0"
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
device_description_str: "NVIDIA H200"
"""
HEAD = f"{'learner':<13}{'problem':<22}{'precision':>10}{'batch':>6}{'kernels':>9}{'MB':>9}{'transposes':>12}{'MB of these':>13}{'memory, MB':>12}"


def main() -> None:
    throughput.check_kept()
    device = absent_gpu()
    if flags.FLAGS.keep:
        Path(flags.FLAGS.keep).mkdir(parents=True, exist_ok=True)
    rows = []
    print(HEAD, flush=True)
    for number in accelerator.chosen():
        problem, learner, meta_batch, changes = accelerator.ROWS[number]
        config = problems.configured(problem, learner, meta_batch, changes)
        try:
            text, memory = compiled(config, device)
        except jax.errors.JaxRuntimeError as error:
            print(f"{learner} on {problem}, {changes}: {str(error).splitlines()[0][:120]}", flush=True)
            continue
        found = {"learner": learner, "problem": problem, "meta_batch": config["meta_batch"]}
        found |= {"precision": config["precision"], "tasks_at_once": config["tasks_at_once"]}
        found |= {"off": gpu.left_off(), "jax": jax.__version__, "temporary_bytes": memory}
        rows.append(found | hlo.count(text)._asdict())
        _show(rows[-1])
        if flags.FLAGS.keep:
            write_text(Path(flags.FLAGS.keep) / f"row{number}.txt", text)
        throughput.keep(rows)


def absent_gpu() -> jax.Device:
    """An H200 to compile for. Raises ValueError where JAX's package for such devices is not installed."""
    jax.config.update("jax_platforms", "cpu")  # the package is not to look for a device
    try:
        return topologies.get_topology_desc(platform="cuda", topology="1x1x1", target_config=H200).devices[0]
    except (NotImplementedError, RuntimeError) as error:
        raise ValueError(
            f"JAX cannot compile for NVIDIA GPUs here ({error}): expected the packages jax-cuda12-plugin "
            f"{jax.__version__}, jax-cuda12-pjrt {jax.__version__} and nvidia-cuda-nvcc-cu12, installed with --no-deps"
        ) from error


def compiled(config: dict[str, Any], device: jax.Device) -> tuple[str, int]:
    """A step of meta-training compiled for `device`: its program as text, and the temporary memory in bytes."""
    key = jax.random.key(0)
    there = jax.sharding.SingleDeviceSharding(device)
    with (
        mock.patch.object(jax, "default_backend", return_value="gpu"),
        mock.patch.object(gpu, "compute_capability", return_value=float(CAPABILITY)),
        jax.sharding.use_abstract_mesh(AbstractMesh((), (), abstract_device=AbstractDevice("NVIDIA H200", None, "gpu"))),
    ):
        settings, problem = build.build_settings(config), build.build_problem(config)
        sample, optimiser = problem.sampler("train"), make_optimiser(settings)
        state = jax.eval_shape(lambda k: init_state(problem.learner, optimiser, k, sample(k)), key)
        sizes = settings.meta_batch, settings.tasks_at_once
        step = make_step(problem.learner, problem.loss, problem.score, optimiser, *sizes)
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), (state, key, sample))
        program = jax.jit(step, in_shardings=there, out_shardings=there).lower(*shapes).compile()
    return program.as_text(), program.memory_analysis().temp_size_in_bytes


def _show(found: dict[str, Any]) -> None:
    print(
        f"{found['learner']:<13}{found['problem']:<22}{found['precision']:>10}{found['meta_batch']:>6}{found['kernels']:>9}"
        f"{found['moved_bytes'] / 1e6:>9.0f}{found['transposes']:>12}{found['transposed_bytes'] / 1e6:>13.0f}"
        f"{found['temporary_bytes'] / 1e6:>12.0f}",
        flush=True,
    )


if __name__ == "__main__":
    cli.run(main)
