"""Packs: .npz files of images, labels and classes; whatever else they hold is one clear line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oplstm_jax.data import image_set, load
from oplstm_jax.data.cache import write_pack

NO_JPEG = np.zeros(9, np.uint8)
PACK = {
    "images": np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4),
    "labels": np.array([2, 0, 2]),
    "class_names": np.array(["a", "b", "c"]),
    "class_split": np.array(["train", "val", "novel"]),
}


def test_a_pack_is_sorted_by_class_and_classes_without_images_are_left_out(tmp_path):
    np.savez(tmp_path / "p.npz", **PACK)
    data = load(tmp_path / "p.npz")
    assert data.class_names == ("a", "c") and data.counts.tolist() == [1, 2] and data.class_split.tolist() == [0, 2]
    np.testing.assert_array_equal(data.images[..., 0], PACK["images"][[1, 0, 2]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "pack has the arrays .*; expected images, or jpeg with offsets, or packed with shape"),
        ({"labels": None}, "expected labels"),
        ({"labels": np.array([0, 1])}, "3 images but 2 labels"),
        ({"labels": np.array([0, 1, 3])}, "labels go from 0 to 3; expected 0 to 2"),
        ({"labels": np.array([0.0, 1.0, 2.0])}, "labels are float64"),
        ({"class_names": np.array([1, 2, 3])}, "class names are no list of strings"),
        ({"class_split": np.array([0, 1])}, r"class split is int64 \[2\]; expected integers 0, 1, 2 or names, \[3\]"),
        ({"class_split": np.array([0, 0, 7])}, r"p.npz: class splits are \[0, 7\]; expected 0, 1 or 2 \(train, val"),
        ({"images": np.zeros((3, 4, 4), np.float32)}, "images are float32"),
        ({"labels": np.array([0, 1, None], dtype=object)}, "cannot read pack .*allow_pickle"),
        ({"images": None, "packed": np.zeros((3, 1), np.uint8), "shape": np.array([4, 4])}, "1 bytes per image"),
        ({"images": None, "jpeg": NO_JPEG, "offsets": np.array([0, 5, 3, 9])}, "jpeg and offsets do not fit"),
        ({"images": None, "jpeg": NO_JPEG, "offsets": np.array([0, 3, 6, 9])}, "image 0: cannot decode"),
    ],
)
def test_odd_packs_are_one_clear_line(tmp_path, change, message):
    np.savez(tmp_path / "p.npz", **{name: value for name, value in (PACK | change).items() if value is not None})
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path / "p.npz")
    assert "\n" not in str(caught.value)


KINDS = st.sampled_from([np.uint8, np.int64, np.uint64, np.float32, np.bool_, "U3"])
ARRAYS = KINDS.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)))
NAMES = st.sampled_from(("jpeg", "offsets", "packed", "shape", "digest", *PACK))


@given(st.dictionaries(NAMES, ARRAYS), st.sampled_from([None, 3]), st.sampled_from([None, 1, 3]))
@settings(max_examples=300, deadline=None)
def test_no_arrays_cause_anything_but_a_set_or_a_value_error(tmp_path_factory, change, image_size, channels):
    path = tmp_path_factory.getbasetemp() / "fuzz.npz"
    np.savez(path, **(PACK | change))
    try:
        assert load(path, image_size, channels=channels).images.dtype == np.uint8
    except ValueError as error:
        assert "\n" not in str(error) and str(error)


@pytest.mark.parametrize("keep", [0, 10, 300, -30])
def test_cut_packs_are_one_clear_line(tmp_path, keep):
    np.savez(tmp_path / "p.npz", **PACK)
    (tmp_path / "p.npz").write_bytes((tmp_path / "p.npz").read_bytes()[:keep])
    with pytest.raises(ValueError, match="cannot read pack"):
        load(tmp_path / "p.npz")


def test_a_set_that_has_an_image_in_two_splits_says_so_in_its_pack(tmp_path, caplog):
    images = np.zeros((3, 4, 4, 1), np.uint8) + np.array([1, 2, 1], np.uint8)[:, None, None, None]
    parts = "published", images, [1, 1, 1], ("a", "b", "c"), [0, 1, 2]
    with pytest.raises(ValueError, match="the same image is in class 'a'"):
        image_set(*parts)
    whole = image_set(*parts, allow_shared=True)
    write_pack(tmp_path / "p.npz", whole)
    assert load(tmp_path / "p.npz").digest == whole.digest
    assert f"{tmp_path / 'p.npz'}: the same image is in class 'a'" in caplog.text
