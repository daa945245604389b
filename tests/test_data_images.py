"""Image sets: exact splits, digests that mean something, and leaks and misfits that are refused."""

import jax
import numpy as np
import pytest

from oplstm_jax.data import SPLITS, image_set, select_classes, split_classes

COUNTS, NAMES, SPLIT = (2, 3, 1, 2), ("Latin/a", "Latin/b", "Greek/a", "Greek/b"), (0, 2, 1, 0)


def images(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (8, 5, 5, 1)).astype(np.uint8)


def make(pixels=None, counts=COUNTS, names=NAMES, split=SPLIT, **options):
    return image_set("some", images() if pixels is None else pixels, counts, names, split, **options)


def pool_images(pool):
    """Images per class, by way of the table of members."""
    return [np.asarray(pool.images)[row[:count]] for row, count in zip(*map(np.asarray, pool[1:]), strict=True)]


@pytest.mark.parametrize(
    ("split", "expected"), [("train", [0, 3]), ("test", [1]), ("validation", [2]), ("all", [0, 1, 2, 3])]
)
def test_a_pool_holds_exactly_the_classes_of_its_split(split, expected):
    found = pool_images(split_classes(make(), split))
    starts = np.cumsum((0, *COUNTS))
    assert len(found) == len(expected)
    for members, label in zip(found, expected, strict=True):
        np.testing.assert_array_equal(members, images()[starts[label] : starts[label + 1]])


def test_only_the_images_of_a_split_travel_to_the_device():
    assert split_classes(make(), "train").images.shape[0] == 4
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(split_classes(make(), "train")))


def test_splits_without_classes_and_unknown_splits_are_refused():
    with pytest.raises(ValueError, match="some has no test classes; splits with classes: train, validation"):
        split_classes(make(split=(0, 1, 1, 0)), "test")
    with pytest.raises(ValueError, match="split is 'dev'; expected one of train, validation, test, all"):
        split_classes(make(), "dev")


def test_classes_are_selected_by_name_and_pattern():
    chosen = select_classes(make(), ["Greek/*", "Latin/b"])
    assert chosen.class_names == NAMES[1:] and chosen.counts.tolist() == [3, 1, 2]
    np.testing.assert_array_equal(chosen.images, images()[2:])
    assert [SPLITS[i] for i in chosen.class_split] == ["test", "validation", "train"]
    with pytest.raises(ValueError, match="some has no class 'Runic/\\*'; its classes are Latin/a"):
        select_classes(make(), ["Runic/*"])


def test_the_digest_depends_on_pixels_names_and_split_but_not_on_the_name_of_the_set():
    assert make().digest == make()._replace(name="other").digest
    assert make().digest == image_set("other", images(), COUNTS, NAMES, SPLIT).digest
    one_pixel = images()
    one_pixel[0, 0, 0, 0] ^= 1
    others = [make(one_pixel), make(names=("x", *NAMES[1:])), make(split=(1, 2, 1, 0)), make(counts=(3, 2, 1, 2))]
    assert len({data.digest for data in [make(), *others]}) == 5


def test_an_image_in_two_splits_is_refused_and_one_within_a_split_is_counted():
    leaked, repeated = images(), images()
    leaked[2] = leaked[0]
    repeated[6] = repeated[0]
    with pytest.raises(ValueError, match=r"same image is in class 'Latin/a' \(train\) and in class 'Latin/b' \(test\)"):
        make(leaked)
    assert "repeated images: 1, none in two splits" in make(repeated).describe()
    assert "repeated images: 1, some in two splits" in make(leaked, allow_shared=True).describe()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixels": images().astype(np.float32)}, r"images are float32 \[8, 5, 5, 1\]; expected uint8"),
        ({"pixels": images()[..., 0]}, r"images are uint8 \[8, 5, 5\]"),
        ({"pixels": np.repeat(images(), 4, axis=3)}, "1 or 3 channels"),
        ({"counts": (2, 3, 1, 1)}, r"classes count 7 images \(smallest 1\), not 8"),
        ({"counts": (2, 3, 0, 3)}, "smallest 0"),
        ({"names": NAMES[:3]}, "4 class counts, 3 names and 4 splits"),
        ({"names": ("a", "a", "b", "c")}, "class 'a' appears twice"),
        ({"split": (0, 1, 2, 256)}, r"class splits are \[0, 1, 2, 256\]"),
        ({"split": (0, 1, 2, 0.5)}, "counts are int64 and splits float64; expected integers"),
        ({"split": (0, 1, 2, 3)}, r"class splits are \[0, 1, 2, 3\]; expected 0, 1 or 2"),
    ],
)
def test_misfits_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        make(**change)


def test_a_description_states_counts_and_digest():
    text = make().describe()
    assert "some: 8 images of 4 classes, 5x5, 1 channel" in text and make().digest in text
    assert "train: 2 classes, 4 images, 2 to 2 images each" in text
