"""Rates of work inside jitted loops on the device, and what a machine can do at all."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax import build
from oplstm_jax.meta import init_state, make_chunk, make_step
from oplstm_jax.optimiser import make_optimiser
from oplstm_jax.sharding import axis_of, replicate, task_mesh


class Rate(NamedTuple):
    """Units of work per second: of the clock, and of processor time, all threads of the process together.

    The clock says what one waits for. Processor time hardly depends on what else runs on the machine; of work on
    another device than a CPU it says nothing.
    """

    per_second: float
    per_core_second: float


def steady(found: dict[str, Any], name: str = "") -> float:
    """The rate of a row ("", "limit_" or "plain_") that depends least on what else runs: see `Rate`."""
    return found[f"{name}tasks_per_{'core_' if found['platform'] == 'cpu' else ''}second"]


class Work(NamedTuple):
    """run(count) does `count` repetitions, of `units` units each, and waits for them. compile_seconds: before the first."""

    run: Callable[[int], None]
    units: int
    compile_seconds: float


def training(config: dict[str, Any], on_device: bool = True) -> Work:
    """Meta-training in tasks, sampling and optimiser included, compiled and ready to be run.

    on_device: steps follow one another in a loop on all devices, as the library trains; else the host calls each step, on one.
    """
    settings, problem = build.build_settings(config), build.build_problem(config)
    sample, optimiser = problem.sampler("train"), make_optimiser(settings)
    init_key, shape_key, run_key = jax.random.split(jax.random.key(0), 3)
    state = jax.jit(lambda k, of, s: init_state(problem.learner, optimiser, k, s(of)))(init_key, shape_key, sample)
    mesh = task_mesh(settings.meta_batch) if on_device else None
    step = make_step(
        problem.learner, problem.loss, problem.score, optimiser, settings.meta_batch, settings.tasks_at_once, axis_of(mesh)
    )
    state, run_key, sample = replicate(state, mesh), replicate(run_key, mesh), replicate(sample, mesh)
    chunk, one = make_chunk(step, mesh), jax.jit(step)

    def run(steps: int) -> None:
        nonlocal state
        if on_device:
            state, _ = chunk(state, run_key, steps, sample)
        else:
            for _ in range(steps):
                state, _ = one(state, run_key, sample)
        jax.block_until_ready(state)

    return Work(run, settings.meta_batch, _time(run, 0 if on_device else 1).clock)


def repeated(work: Callable[[jax.Array], jax.Array], units: int = 1) -> Work:
    """Evaluations of key -> number, one after another in a loop on the device, compiled and ready to be run.

    units: how many units of work each of them is.
    """

    @jax.jit
    def loop(key, count):
        def body(number, total):
            return total + work(jax.random.fold_in(key, number))

        return jax.lax.fori_loop(0, count, body, jnp.zeros(()))

    key = jax.random.key(0)

    def run(count: int) -> None:
        loop(key, count).block_until_ready()

    return Work(run, units, _time(run, 0).clock)


def compare(works: dict[str, Work], seconds: float, rounds: int = 4) -> dict[str, Rate]:
    """The best rate of each over `rounds` rounds in which they take turns, about `seconds` for each in all."""
    counts = {name: _count(work.run, seconds / rounds) for name, work in works.items()}
    times: dict[str, list[Times]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(_time(work.run, counts[name]))
    done = {name: counts[name] * work.units for name, work in works.items()}
    return {n: Rate(*(done[n] / min(kind) for kind in zip(*found, strict=True))) for n, found in times.items()}


class Times(NamedTuple):
    """Seconds: of the clock, and of processor time of this process."""

    clock: float
    processor: float


def _count(run: Callable[[int], None], seconds: float) -> int:
    """How many repetitions take about `seconds`."""
    count = 1
    while True:
        took = _time(run, count).clock
        if took > seconds / 3:
            return max(1, round(count * seconds / took))
        count *= 2 if took > seconds / 30 else 8


def _time(run: Callable[[int], None], count: int) -> Times:
    began = time.perf_counter(), time.process_time()
    run(count)
    return Times(time.perf_counter() - began[0], time.process_time() - began[1])


def matmul_gflops(size: int = 2048) -> Rate:
    """Giga-operations per second of a square float32 matrix product, to compare rates between runs and machines."""
    a = jnp.ones((size, size), jnp.float32)
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    times = [_time(lambda _: product(a, a).block_until_ready(), 1) for _ in range(5)]
    return Rate(*(2 * size**3 / min(kind) / 1e9 for kind in zip(*times, strict=True)))
