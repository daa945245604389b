"""The episode sampler: what is drawn is distinct, disjoint, uniform and labelled right, and bad sizes are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from oplstm_jax.data import Augment, image_set, make_sampler, sample_episode, split_classes

COUNTS = (4, 9, 5, 4, 12, 6)
EPISODES = 20_000


def tagged_pool(counts=COUNTS, size=4, channels=1):
    """A pool of which every image says its class in pixel (0, 0), its instance in (0, 1), and has a marked (1, 0)."""
    images = np.zeros((sum(counts), size, size, channels), np.uint8)
    images[:, 0, 0] = np.repeat(np.arange(len(counts)), counts)[:, None]
    images[:, 0, 1] = np.concatenate([np.arange(count) for count in counts])[:, None]
    images[:, 1, 0] = 255
    names = [f"class{i}" for i in range(len(counts))]
    return split_classes(image_set("tagged", images, counts, names, [0] * len(counts)), "train")


def tags(x):
    """Class and instance of tagged images x [..., H, W, channels]."""
    pixels = np.round(np.asarray(x)[..., 0, :2, 0] * 255).astype(int)
    return pixels[..., 0], pixels[..., 1]


@pytest.fixture(scope="module")
def drawn():
    """20 000 episodes, 3-way with 1 support and 2 query images: classes and instances [episode, way, shot + query]."""
    sampler = make_sampler(tagged_pool(), way=3, shot=1, query=2)
    episodes = jax.jit(jax.vmap(sampler))(jax.random.split(jax.random.key(0), EPISODES))
    parts = [tags(split.x.reshape(EPISODES, 3, -1, 4, 4, 1)) for split in episodes]
    return tuple(np.concatenate(both, axis=2) for both in zip(*parts, strict=True))


def assert_uniform(values, kinds):
    """p is the chance of a deviation this large if all kinds are equally likely; the draw is fixed by its key."""
    assert chisquare(np.bincount(values.ravel(), minlength=kinds)).pvalue > 1e-3


def test_an_episode_has_the_documented_shapes_and_labels():
    episode = sample_episode(jax.random.key(0), tagged_pool(), way=4, shot=2, query=1)
    assert episode.support.x.shape == (8, 4, 4, 1) and episode.query.x.shape == (4, 4, 4, 1)
    np.testing.assert_array_equal(episode.support.y, np.repeat(np.eye(4), 2, axis=0))
    np.testing.assert_array_equal(episode.query.y, np.eye(4))
    assert episode.support.x.dtype == episode.support.y.dtype == jnp.float32
    assert episode.support.x.max() == 1.0


def test_images_with_one_label_are_of_one_class_and_labels_differ_in_class(drawn):
    classes, _ = drawn
    assert (classes == classes[:, :, :1]).all()
    in_order = np.sort(classes[:, :, 0], axis=1)
    assert (np.diff(in_order, axis=1) > 0).all()


def test_support_and_query_never_share_an_image(drawn):
    _, instances = drawn
    assert (np.diff(np.sort(instances, axis=2), axis=2) > 0).all()


def test_every_class_is_equally_likely_at_every_label(drawn):
    classes, _ = drawn
    for label in range(3):
        assert_uniform(classes[:, label, 0], len(COUNTS))


def test_every_pair_of_classes_is_equally_likely_in_both_orders(drawn):
    first, second = drawn[0][:, 0, 0], drawn[0][:, 1, 0]
    codes = first * (len(COUNTS) - 1) + second - (second > first)
    assert_uniform(codes, len(COUNTS) * (len(COUNTS) - 1))


@pytest.mark.parametrize("place", range(3), ids=("support", "first query", "second query"))
@pytest.mark.parametrize("label", range(len(COUNTS)))
def test_every_image_of_a_class_is_equally_likely_in_support_and_query(drawn, label, place):
    classes, instances = drawn
    chosen = instances[:, :, place][classes[:, :, place] == label]
    assert chosen.max() < COUNTS[label]
    assert_uniform(chosen, COUNTS[label])


def test_the_same_key_gives_the_same_episode_alone_batched_and_jitted():
    sampler = make_sampler(tagged_pool(), 3, 1, 2)
    batched = jax.vmap(lambda i: sampler(jax.random.key(i)))(jnp.arange(4))
    jitted = jax.jit(lambda sampler, key: sampler(key))(sampler, jax.random.key(2))
    alone = sample_episode(jax.random.key(2), tagged_pool(), 3, 1, 2)
    for one, many, traced in zip(*map(jax.tree.leaves, (alone, batched, jitted)), strict=True):
        np.testing.assert_array_equal(one, many[2])
        np.testing.assert_array_equal(one, traced)


def test_double_precision_does_not_change_which_images_are_drawn():
    expected = sample_episode(jax.random.key(4), tagged_pool(), 3, 1, 2)
    with jax.enable_x64(True):
        found = sample_episode(jax.random.key(4), tagged_pool(), 3, 1, 2)
    for one, other in zip(*map(jax.tree.leaves, (expected, found)), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype == jnp.float32


def test_rotations_make_four_classes_of_one():
    sampler = make_sampler(tagged_pool((5,)), way=4, shot=1, query=3, rotations=True)
    episode = sampler(jax.random.key(1))
    marked = [(1, 0), (3, 1), (2, 3), (0, 2)]  # where quarter turns counter-clockwise take the marked pixel (1, 0)
    for split, number in zip(episode, (1, 3), strict=True):
        images = np.asarray(split.x[..., 0]).reshape(4, number, 4, 4)
        found = [tuple(np.argwhere(images[way, 0] == 1.0)[0].tolist()) for way in range(4)]
        assert sorted(found) == sorted(marked)
        for way in range(4):
            assert (images[way][:, found[way][0], found[way][1]] == 1.0).all()


def test_a_full_set_of_ways_and_images_uses_each_once():
    episode = sample_episode(jax.random.key(3), tagged_pool((3, 3, 3)), way=3, shot=1, query=2)
    both = np.concatenate([np.stack(tags(split.x), axis=1) for split in episode])
    assert len({tuple(tag) for tag in both.tolist()}) == 9


@given(st.lists(st.integers(3, 7), min_size=2, max_size=5), st.integers(1, 2), st.integers(0, 2**31 - 1))
@settings(max_examples=8, deadline=None)
def test_ragged_classes_never_yield_padding(counts, way, seed):
    episode = sample_episode(jax.random.key(seed), tagged_pool(tuple(counts)), way, shot=1, query=2)
    for split in episode:
        classes, instances = tags(split.x)
        assert (instances < np.array(counts)[classes]).all()
        assert (np.asarray(split.x[:, 1, 0, 0]) == 1.0).all()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((7, 1, 1), "way is 7, but this split has 6 classes; expected 1 to 6"),
        ((2, 1, 4), "shot 1 [+] query 4 = 5 images per class, but the smallest class has 4"),
        ((2, 9, 9), "shot 9 [+] query 9 = 18 images per class, but the largest class has 12"),
        ((0, 1, 1), "way is 0; expected an integer of at least 1"),
        ((2, 1.5, 1), "shot is 1.5; expected an integer"),
        ((2, 1, "3"), "query is '3'; expected an integer"),
    ],
)
def test_impossible_episodes_are_refused_when_the_sampler_is_made(sizes, message):
    with pytest.raises(ValueError, match=message):
        make_sampler(tagged_pool(), *sizes)


def test_rotations_of_oblong_images_are_refused():
    images = np.zeros((4, 2, 3, 1), np.uint8)
    pool = split_classes(image_set("oblong", images, [4], ["a"], [0]), "train")
    with pytest.raises(ValueError, match="rotations need square images, these are 2x3"):
        make_sampler(pool, 1, 1, 1, rotations=True)


@pytest.mark.parametrize(
    ("augment", "message"), [(Augment(crop=4), "augment.crop is 4"), (Augment(colour=1.0), "augment.colour is 1.0")]
)
def test_impossible_augmentation_is_refused(augment, message):
    with pytest.raises(ValueError, match=message):
        make_sampler(tagged_pool(), 2, 1, 1, augment=augment)


@pytest.mark.parametrize("rotations", [False, True])
def test_all_classes_keep_their_labels(rotations):
    sampler = make_sampler(tagged_pool(), way=3, shot=2, query=1, rotations=rotations, all_classes=True)
    for seed in range(20):
        episode = sampler(jax.random.key(seed))
        for x, y in episode:
            classes = np.argmax(y, axis=1)
            assert y.shape == (len(x), len(COUNTS) * (4 if rotations else 1))
            np.testing.assert_array_equal(np.sum(y, axis=1), 1)
            if not rotations:
                np.testing.assert_array_equal(classes, tags(x)[0])
        np.testing.assert_array_equal(np.unique(classes), np.unique(np.argmax(episode.support.y, axis=1)))
