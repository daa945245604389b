"""Folders of images and files that split their classes; requests for data that is not there are one clear line."""

import numpy as np
import pytest
from data_files import as_files, photo, photos, sides, write_folder

from oplstm_jax.data import cache, load


def test_a_folder_of_classes_is_read_in_order_with_a_seeded_split(tmp_path):
    content = photos([f"class{i:02d}" for i in range(25)])
    write_folder(tmp_path / "mine", as_files(content) | {"class00/notes.txt": b"x", ".hidden/a.png": b"x"})
    data = load(tmp_path / "mine")
    assert data.name == "mine" and data.class_names == tuple(content)
    np.testing.assert_array_equal(data.images, [image for files in content.values() for image in files.values()])
    assert np.bincount(data.class_split).tolist() == [16, 4, 5]
    assert load(tmp_path / "mine").digest == data.digest
    assert load(tmp_path / "mine", seed=1).class_split.tolist() != data.class_split.tolist()


def test_ragged_folders_other_sizes_and_greyscale(tmp_path):
    write_folder(tmp_path, as_files({"a": {"1.png": photo(1)}, "b": {"1.png": photo(2), "2.png": photo(3)}}))
    data = load(tmp_path, 20, channels=1)
    assert data.counts.tolist() == [1, 2] and data.images.shape == (3, 20, 20, 1)
    inverted = load(tmp_path, channels=1, invert=True).images
    np.testing.assert_array_equal(inverted, 255 - load(tmp_path, channels=1).images)


def test_split_folders_and_split_files_decide_the_split(tmp_path):
    content = photos("abc")
    for side, name in zip(("train", "val", "test"), content, strict=True):
        write_folder(tmp_path / "folders" / side, as_files({name: content[name]}))
    write_folder(tmp_path / "flat", as_files(content))
    (tmp_path / "split.csv").write_text("class,split\na,train\nb,validation\nc,test\n")
    by_file = load(tmp_path / "flat", split_file=tmp_path / "split.csv")
    by_folder = load(tmp_path / "folders")
    assert sides(by_file) == sides(by_folder) == {"a": "train", "b": "validation", "c": "test"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no sub-folders; expected one folder of images per class"),
        ({"a.png": b"x"}, "no sub-folders"),
        ({"a/readme.txt": b"x"}, "a: class folder has no images"),
        ({"a/1.png": b"not a picture"}, "a/1.png: cannot decode image"),
        ({"train/a/1.png": b"x", "test/a/1.png": b"x"}, "class 'a' is in test and in train"),
        ({"train/1.txt": b"x"}, "no class folders in train"),
    ],
)
def test_odd_folders_are_one_clear_line(tmp_path, files, message):
    write_folder(tmp_path, files)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,side\na,train\n", "columns are name, side; expected class and split"),
        ("class,split\na,dev\n", "split is 'dev'; expected one of train"),
        ("class,split\na,train\na,test\n", "class 'a' is in two splits"),
        ("class,split\nb,train\n", "no split given for class 'a'"),
    ],
)
def test_odd_split_files_are_one_clear_line(tmp_path, text, message):
    write_folder(tmp_path, as_files(photos("a")))
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        load(tmp_path, split_file=tmp_path / "split.csv")


def test_a_prepared_name_goes_before_a_folder_and_takes_none_of_its_options(tmp_path, monkeypatch):
    monkeypatch.setenv("OPLSTM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "mine", as_files(photos("abc")))
    cache.pack_path("mine").parent.mkdir()
    cache.write_pack(cache.pack_path("mine"), load("./mine", 4))
    assert load("mine").images.shape[1:] == (4, 4, 3) and load("./mine", np.int64(5)).images.shape[1:] == (5, 5, 3)
    with pytest.raises(ValueError, match="mine: split_file and invert are only for a folder"):
        load("mine", invert=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "image_size is 0; expected an integer from 1"),
        ({"channels": 4}, "channels is 4; expected 1"),
        ({"name_or_path": ""}, "no data set, .npz file or folder ''"),
        ({"name_or_path": "x" * 5000}, "no data set, .npz file or folder 'xxx"),
        ({"name_or_path": "omniglott"}, "no data set, .npz file or folder 'omniglott'; available names: glyphs"),
        ({"name_or_path": "glyphs", "split_file": "x.csv"}, "split_file and invert are only for a folder"),
    ],
)
def test_odd_requests_are_one_clear_line(options, message):
    with pytest.raises(ValueError, match=message):
        load(**{"name_or_path": "glyphs", **options})
