"""Rates of work inside jitted loops on the device, and what a machine can do at all."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from oplstm_jax import build
from oplstm_jax.meta import init_state, make_chunk, make_step
from oplstm_jax.program import make_optimiser

Clock = Callable[[], float]

def rate_of_training(
    config: dict[str, Any], seconds: float, on_device: bool = True, clock: Clock = time.perf_counter
) -> dict[str, float]:
    """tasks_per_second and compile_seconds of meta-training, sampling and optimiser included.

    on_device: steps follow one another in a loop on the device, as the library trains; else the host calls each step.
    clock: what tells the seconds; other work on the machine changes those of `time.process_time` little.
    """
    settings, problem = build.build_settings(config), build.build_problem(config)
    sample, optimiser = problem.sampler("train"), make_optimiser(settings)
    init_key, shape_key, run_key = jax.random.split(jax.random.key(0), 3)
    state = jax.jit(lambda k, e: init_state(problem.learner, optimiser, k, e))(init_key, sample(shape_key))
    step = make_step(problem.learner, problem.loss, problem.score, optimiser, settings.meta_batch, settings.tasks_at_once)
    chunk, one = make_chunk(step), jax.jit(step)

    def run(steps: int) -> None:
        nonlocal state
        if on_device:
            state, _ = chunk(state, run_key, steps, sample)
        else:
            for _ in range(steps):
                state, _ = one(state, run_key, sample)
        jax.block_until_ready(state)

    compiled = _time(run, 0 if on_device else 1, clock)
    return {"tasks_per_second": rate(run, seconds, clock) * settings.meta_batch, "compile_seconds": compiled}


def rate_of(work: Callable[[jax.Array], jax.Array], seconds: float) -> float:
    """Evaluations per second of key -> number, one after another in a loop on the device."""

    @jax.jit
    def loop(key, count):
        def body(number, total):
            return total + work(jax.random.fold_in(key, number))

        return jax.lax.fori_loop(0, count, body, jnp.zeros(()))

    key = jax.random.key(0)
    loop(key, 0).block_until_ready()
    return rate(lambda count: loop(key, count).block_until_ready(), seconds)


def rate(run: Callable[[int], None], seconds: float, clock: Clock = time.perf_counter) -> float:
    """Best rate of `run(count)` over three measurements of `seconds` in all, after a first one that finds the count."""
    count, took = 1, 0.0
    while True:
        took = _time(run, count, clock)
        if took > seconds / 10:
            break
        count *= 2 if took > seconds / 100 else 8
    count = max(1, round(count * seconds / 3 / took))
    return count / min(_time(run, count, clock) for _ in range(1 if took > seconds else 3))


def _time(run: Callable[[int], None], count: int, clock: Clock = time.perf_counter) -> float:
    began = clock()
    run(count)
    return clock() - began


def matmul_gflops(size: int = 2048) -> float:
    """Giga-operations per second of a square float32 matrix product, to compare rates between runs and machines."""
    a = jnp.ones((size, size), jnp.float32)
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    return 2 * size**3 / min(_time(lambda _: product(a, a).block_until_ready(), 1) for _ in range(5)) / 1e9
