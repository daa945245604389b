"""Augmentation changes what it says and nothing else; it is off by default."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oplstm_jax.data.augment import Augment, augment_image, jitter_colour, quarter_turns, random_crop

IMAGE = np.random.default_rng(0).uniform(size=(6, 6, 3)).astype(np.float32)


def keys():
    return jax.random.split(jax.random.key(0), 200)


def changed(augment):
    return np.asarray(jax.vmap(lambda key: augment_image(key, jnp.asarray(IMAGE), augment))(keys()))


def test_nothing_changes_by_default():
    assert (changed(Augment()) == IMAGE).all()


def test_flips_mirror_about_half_of_the_images():
    mirrored = (changed(Augment(flip=True)) == IMAGE[:, ::-1]).all(axis=(1, 2, 3))
    kept = (changed(Augment(flip=True)) == IMAGE).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all() and 70 < mirrored.sum() < 130


def test_crops_move_by_every_offset_up_to_the_margin():
    padded = np.pad(IMAGE, ((1, 1), (1, 1), (0, 0)), mode="edge")
    windows = {padded[i : i + 6, j : j + 6].tobytes(): (i, j) for i in range(3) for j in range(3)}
    moved = np.asarray(jax.vmap(lambda key: random_crop(key, jnp.asarray(IMAGE), 1))(keys()))
    assert {windows[image.tobytes()] for image in moved} == set(windows.values())


def test_colour_jitter_stays_in_range_and_scales_grey_as_one():
    jittered = np.asarray(jax.vmap(lambda key: jitter_colour(key, jnp.asarray(IMAGE), 0.8))(keys()))
    assert jittered.min() >= 0 and jittered.max() <= 1 and np.std(jittered.mean(axis=(1, 2, 3))) > 0.05
    grey = jnp.full((6, 6, 3), 0.5)
    jittered = np.asarray(jax.vmap(lambda key: jitter_colour(key, grey, 0.4))(keys()))
    np.testing.assert_allclose(jittered, np.broadcast_to(jittered[:, :1, :1, :1], jittered.shape), rtol=1e-5)
    assert 0.3 <= jittered.min() < 0.33 and 0.67 < jittered.max() <= 0.7 + 1e-6


@pytest.mark.parametrize("turns", range(4))
def test_quarter_turns_are_those_of_numpy(turns):
    turned = quarter_turns(jnp.asarray(IMAGE)[None], jnp.asarray(turns))
    np.testing.assert_array_equal(turned[0], np.rot90(IMAGE, turns))
