"""Omniglot from the official archives, their folders, TFDS and the packs is the same data."""

import numpy as np
import pytest
from data_files import omniglot_drawings, png, shared, write_folder, write_tfds, write_zip

from oplstm_jax.data import class_splits, load, select_classes
from oplstm_jax.data.sources.omniglot import load_omniglot, load_omniglot_tfds

ALPHABETS = ("Korean", "Tengwar")  # one of the background, one of the evaluation archive


@pytest.fixture(scope="module")
def members():
    return archive_members(ALPHABETS)


@pytest.fixture(scope="module")
def pack():
    return load(shared("omniglot28.npz"))


def archive_members(alphabets=None):
    """Part -> member name -> PNG bytes (1 bit, ink 0), as in the official archives; their last name part is made up."""
    parts = {"images_background": {}, "images_evaluation": {}}
    for background, name, drawer, ink in omniglot_drawings(alphabets):
        part = "images_background" if background else "images_evaluation"
        parts[part][f"{part}/{name}/{len(parts[part]) // 20 + 1:04d}_{drawer:02d}.png"] = png(255 * (1 - ink), "1")
    return parts


def names_of(alphabets):
    return [name for name in class_splits.published("omniglot") if name.split("/")[0] in alphabets]


def write_archives(path, parts):
    for part, members in parts.items():
        write_zip(path / f"{part}.zip", members)
    return path


def test_archives_folders_and_pack_end_in_identical_arrays(tmp_path, members, pack):
    from_zip = load_omniglot(write_archives(tmp_path, members), classes=names_of(ALPHABETS))
    write_folder(tmp_path / "out", members["images_background"] | members["images_evaluation"])
    from_folder = load_omniglot(tmp_path / "out", classes=names_of(ALPHABETS))
    expected = select_classes(pack, names_of(ALPHABETS))
    np.testing.assert_array_equal(from_zip.images, expected.images)
    assert from_zip.class_names == expected.class_names == tuple(names_of(ALPHABETS))
    assert from_zip.digest == from_folder.digest == expected.digest


def test_the_bit_packed_originals_resize_to_the_same_arrays(pack):
    assert load(shared("omniglot105_packed.npz"), 28).digest == pack.digest


def test_the_class_split_is_vinyals(pack):
    assert np.bincount(pack.class_split).tolist() == [1028, 172, 423]
    split = class_splits.indices(pack.class_names, class_splits.published("omniglot"), "omniglot")
    np.testing.assert_array_equal(split, pack.class_split)


def tfds_rows(alphabets):
    every = sorted({name.split("/")[0] for name in class_splits.published("omniglot")})
    rows = {"train": [], "test": [], "small1": []}
    for background, name, _, ink in omniglot_drawings(alphabets):
        alphabet, character = name.split("/character")
        row = {
            "image": png(255 * (1 - ink), "1"),
            "alphabet": every.index(alphabet),
            "alphabet_char_id": int(character) - 1,
            "label": 0,
        }
        rows["train" if background else "test"].append(row)
        rows["small1"] = [row]  # repeats drawings of the others and is not read
    np.random.default_rng(0).shuffle(rows["train"])
    return rows


def test_tfds_ends_in_the_same_images_of_every_class(tmp_path, pack):
    write_tfds(tmp_path, "omniglot", tfds_rows(ALPHABETS))
    found = load_omniglot_tfds(tmp_path, classes=names_of(ALPHABETS))
    expected = select_classes(pack, names_of(ALPHABETS))
    assert found.class_names == expected.class_names
    np.testing.assert_array_equal(found.class_split, expected.class_split)
    for ours, theirs in zip(*(data.images.reshape(-1, 20, 784) for data in (found, expected)), strict=True):
        assert sorted(image.tobytes() for image in ours) == sorted(image.tobytes() for image in theirs)


def test_an_unprepared_tfds_data_set_says_how_to_prepare_it(tmp_path):
    with pytest.raises(ValueError, match="TFDS has no prepared omniglot in .*tfds build omniglot"):
        load_omniglot_tfds(tmp_path)


def test_missing_archives_characters_and_drawings_are_named(tmp_path, members):
    with pytest.raises(ValueError, match="no images_background.zip and no folder images_background"):
        load_omniglot(tmp_path)
    write_archives(tmp_path, members)
    with pytest.raises(ValueError, match="0 drawings of Alphabet_of_the_Magi/character01; expected 20"):
        load_omniglot(tmp_path)
    with pytest.raises(ValueError, match="omniglot has no character 'Korean/character99'"):
        load_omniglot(tmp_path, classes=["Korean/character99"])


def test_truncated_and_damaged_archives_are_one_line(tmp_path, members):
    write_archives(tmp_path, members)
    path = tmp_path / "images_background.zip"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="images_background.zip: cannot read zip archive"):
        load_omniglot(tmp_path, classes=names_of(ALPHABETS))
    path.write_bytes(whole[:2000] + bytes(100) + whole[2100:])
    with pytest.raises(ValueError, match="images_background.zip: .* is damaged") as caught:
        load_omniglot(tmp_path, classes=names_of(ALPHABETS))
    assert "\n" not in str(caught.value)


def test_members_that_point_elsewhere_are_not_written(tmp_path, members):
    evil = members["images_background"] | {"../../escaped.png": b"x", str(tmp_path / "absolute.png"): b"x"}
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    write_archives(folder, {**members, "images_background": evil})
    load_omniglot(folder, classes=names_of(("Korean",)))
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == [
        "images_background.zip",
        "images_evaluation.zip",
    ]


@pytest.mark.slow
def test_the_whole_archives_end_in_the_pack(tmp_path, pack):
    assert load_omniglot(write_archives(tmp_path, archive_members())).digest == pack.digest
