"""Built-in glyphs: the same from the same seed, different classes differ, and harder than matching pixels."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oplstm_jax.data import glyphs as drawing
from oplstm_jax.data import load, make_sampler, split_classes
from oplstm_jax.data.glyphs import load_glyphs, render


@pytest.fixture(scope="module")
def glyphs():
    return load_glyphs(classes=300)


def nearest_neighbour_accuracy(data, episodes=400):
    """5-way 1-shot accuracy of the nearest support image in pixels, on the test classes."""
    sampler = make_sampler(split_classes(data, "test"), way=5, shot=1, query=15)

    def accuracy(key):
        support, query = sampler(key)
        gaps = query.x[:, None] - support.x[None, :]
        nearest = jnp.argmin(jnp.sum(gaps**2, axis=(2, 3, 4)), axis=1)
        return jnp.mean(nearest == jnp.argmax(query.y, axis=1))

    return float(jnp.mean(jax.lax.map(jax.jit(accuracy), jax.random.split(jax.random.key(0), episodes))))


def test_the_seed_decides_and_a_class_does_not_depend_on_how_many_there_are(glyphs):
    fewer = load_glyphs(classes=60)
    np.testing.assert_array_equal(fewer.images, glyphs.images[: len(fewer.images)])
    assert load_glyphs(classes=60).digest == fewer.digest
    assert load_glyphs(classes=60, seed=1).digest != fewer.digest


@pytest.fixture
def few(tmp_path, monkeypatch):
    """A folder that is the cache of sets of 10 classes."""
    monkeypatch.setenv("OPLSTM_CACHE", str(tmp_path))
    monkeypatch.setattr(drawing, "CLASSES", 10)
    return tmp_path / "made"


def test_what_is_kept_is_what_was_drawn_and_damage_costs_time_alone(few, monkeypatch):
    first = load("glyphs")
    assert first.digest == load_glyphs(classes=10).digest
    (path,) = few.iterdir()
    whole = path.read_bytes()
    with monkeypatch.context() as blind:
        blind.setattr(drawing, "draw_all", lambda *_: pytest.fail("drawn again"))
        assert load("glyphs").digest == first.digest
    path.write_bytes(whole[: len(whole) // 2])
    assert load("glyphs").digest == first.digest and path.read_bytes() == whole
    monkeypatch.setenv("OPLSTM_CACHE", "/dev/null/nowhere")
    assert load("glyphs").digest == first.digest


def test_what_was_made_with_other_settings_is_not_taken(few, monkeypatch, x64):
    noise = np.random.default_rng(0).integers(0, 256, (10, 20, 9, 9), np.uint8)
    monkeypatch.setattr(drawing, "draw_all", lambda *words: noise[..., : words[-1], : words[-1]])
    load("glyphs", image_size=8)
    monkeypatch.setenv("XLA_FLAGS", f"{os.environ['XLA_FLAGS']} --xla_cpu_enable_fast_math=false")
    load("glyphs", image_size=8)
    load("glyphs", image_size=9)
    with jax.enable_x64(False):
        load("glyphs", image_size=8)
    assert len(list(few.iterdir())) == 4


@pytest.mark.parametrize(
    ("setting", "value"), [("jax_default_prng_impl", "rbg"), ("jax_threefry_partitionable", False)]
)
def test_the_generator_that_jax_is_set_to_makes_no_difference(setting, value):
    usual, before = load_glyphs(classes=2, drawings=2, image_size=8).digest, getattr(jax.config, setting)
    try:
        jax.config.update(setting, value)
        assert load_glyphs(classes=2, drawings=2, image_size=8).digest == usual
    finally:
        jax.config.update(setting, before)


def test_every_drawing_has_ink_and_no_two_are_equal(glyphs):
    ink = glyphs.images.mean(axis=(1, 2, 3)) / 255
    assert ink.min() > 0.005 and ink.max() < 0.5
    assert len({image.tobytes() for image in glyphs.images}) == len(glyphs.images)


def test_splits_are_all_there(glyphs):
    assert np.bincount(glyphs.class_split).tolist() == [192, 48, 60]
    assert glyphs.images.shape == (6000, 28, 28, 1)


def test_matching_pixels_is_above_chance_and_far_from_solving_them(glyphs):
    assert 0.4 < nearest_neighbour_accuracy(glyphs) < 0.65


def test_a_straight_line_is_drawn_straight_and_of_the_width_of_the_pen():
    along = jnp.linspace(-0.5, 0.5, 64)
    path = jnp.stack([along, jnp.full(64, 0.25)], axis=-1)[None]
    ink = np.asarray(render(path, jnp.ones(1), jnp.asarray(0.05), 80))
    rows = np.flatnonzero(ink[:, 40] > 0.5)
    assert 4 <= len(rows) <= 8 and rows.mean() == pytest.approx((1 - 0.25) * 40 - 0.5, abs=0.6)
    assert (ink[rows[1], 22:58] > 0.5).all() and ink[:, :16].max() < 0.01 and ink[:, 64:].max() < 0.01


def test_another_size_and_rgb_are_had_by_name():
    assert load("glyphs", image_size=16, channels=3, classes=["glyph000*"]).images.shape == (200, 16, 16, 3)


@pytest.mark.parametrize("options", [{"classes": 0}, {"drawings": 1.5}, {"image_size": 4}])
def test_impossible_sizes_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is .*; expected an integer of at least"):
        load_glyphs(**options)
