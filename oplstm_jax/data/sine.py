"""Few-shot sine regression: y = A sin(x + phi), A ~ U[0.1, 5], phi ~ U[0, pi], x ~ U[-5, 5]."""

import jax
import jax.numpy as jnp

from oplstm_jax.data.episodes import check_sizes
from oplstm_jax.types import Array, Episode, Split

AMPLITUDES, PHASES, INPUTS = (0.1, 5.0), (0.0, jnp.pi), (-5.0, 5.0)


def sample_episode(key: Array, shot: int, query: int = 50) -> Episode:
    """One task: support x, y [shot, 1] and query x, y [query, 1] of the same sine wave.

    Raises ValueError for a shot or query that is no whole number above 0.
    """
    check_sizes(shot=shot, query=query)
    wave_key, x_key = jax.random.split(key)
    amplitude, phase = sample_wave(wave_key)
    x = jax.random.uniform(x_key, (shot + query, 1), minval=INPUTS[0], maxval=INPUTS[1])
    y = wave(amplitude, phase, x)
    return Episode(Split(x[:shot], y[:shot]), Split(x[shot:], y[shot:]))


def sample_wave(key: Array) -> tuple[Array, Array]:
    """Amplitude and phase (radians) of one task, two scalars."""
    keys = jax.random.split(key)
    amplitude = jax.random.uniform(keys[0], minval=AMPLITUDES[0], maxval=AMPLITUDES[1])
    return amplitude, jax.random.uniform(keys[1], minval=PHASES[0], maxval=PHASES[1])


def wave(amplitude: Array, phase: Array, x: Array) -> Array:
    """A sin(x + phi), in the shape of x."""
    return amplitude * jnp.sin(x + phase)
