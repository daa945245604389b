"""The sine tasks are those of the paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oplstm_jax.data import sine


def test_episodes_are_points_of_one_wave():
    episode = sine.sample_episode(jax.random.key(0), shot=5, query=50)
    assert episode.support.x.shape == episode.support.y.shape == (5, 1)
    assert episode.query.x.shape == episode.query.y.shape == (50, 1)
    x, y = (np.concatenate([np.ravel(a), np.ravel(b)]) for a, b in zip(episode.support, episode.query, strict=True))
    design = np.stack([np.sin(x), np.cos(x)], axis=1)
    (a, b), *_ = np.linalg.lstsq(design, y, rcond=None)
    np.testing.assert_allclose(design @ [a, b], y, atol=1e-5)
    assert 0.1 <= np.hypot(a, b) <= 5 and 0 <= np.arctan2(b, a) <= np.pi


def test_amplitudes_phases_and_inputs_are_uniform():
    keys = jax.random.split(jax.random.key(1), (2, 20_000))
    amplitude, phase = jax.vmap(sine.sample_wave)(keys[0])
    x = jax.vmap(lambda k: sine.sample_episode(k, 1, 1).query.x)(keys[1]).ravel()
    for values, (low, high) in ((amplitude, (0.1, 5)), (phase, (0, jnp.pi)), (x, (-5, 5))):
        counts, _ = np.histogram(values, bins=10, range=(low, high))
        assert counts.sum() == 20_000
        assert np.square(counts - 2000).sum() / 2000 < 27.9  # chi-square, 9 degrees of freedom, one in a thousand


def test_support_and_query_share_no_point():
    episode = sine.sample_episode(jax.random.key(2), shot=20, query=50)
    assert not np.isin(episode.support.x, episode.query.x).any()


@pytest.mark.parametrize("sizes", [(-1, 5), (5.0, 5), (5, 0)])
def test_sizes_are_whole_numbers_above_zero(sizes):
    with pytest.raises(ValueError, match="expected an integer of at least 1"):
        sine.sample_episode(jax.random.key(0), *sizes)
