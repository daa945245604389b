"""Folders, packs, CUB and miniImageNet: every layout people have gives the same set, odd input one clear line."""

import csv
import os
import pickle

import numpy as np
import pytest
from data_files import png, shared, write_folder, write_tfds, write_tgz
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oplstm_jax.data import SPLITS, class_splits, load, select_classes
from oplstm_jax.data.sources.cub import load_cub, load_cub_tfds
from oplstm_jax.data.sources.miniimagenet import load_miniimagenet

WNIDS = {"train": "n01532829", "val": "n01855672", "test": "n01930112"}


def photo(seed):
    return np.random.default_rng(seed).integers(0, 256, (84, 84, 3)).astype(np.uint8)


def photos(classes, each=3):
    """Class -> file name -> pixels."""
    return {name: {f"{i}.png": photo([c, i]) for i in range(each)} for c, name in enumerate(classes)}


def as_files(content, prefix=""):
    return {f"{prefix}{name}/{file}": png(image) for name, files in content.items() for file, image in files.items()}


def sides(data):
    """Class name -> split."""
    return dict(zip(data.class_names, (SPLITS[i] for i in data.class_split), strict=True))


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
        ({"class_split": np.array([0, 1])}, r"class split is int64 \[2\]; expected \[3\]"),
        ({"class_split": np.array([0, 0, 7])}, r"class splits are \[0, 7\]"),
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


@pytest.fixture(scope="module")
def birds():
    """The pack of real photos, and the files of two classes as name -> bytes."""
    path = shared("cub50_full_84.npz")
    with np.load(path) as pack:
        chosen = np.flatnonzero(np.isin(pack["labels"], (0, 3)))
        jpeg, ends, names = pack["jpeg"], pack["offsets"], pack["filenames"]
        files = {str(names[i]): jpeg[ends[i] : ends[i + 1]].tobytes() for i in chosen}
    return select_classes(load(path), ["001.*", "004.*"]), files


def test_cub_archive_folder_tfds_and_pack_end_in_identical_arrays(tmp_path, birds):
    pack, files = birds
    members = {f"CUB_200_2011/images/{name}": data for name, data in files.items()}
    write_tgz(tmp_path / "CUB.tgz", members | {"CUB_200_2011/README": b"x", "../../images/escaped.jpg": b"x"})
    write_folder(tmp_path / "out", members)
    rows = [
        {
            "image": data,
            "image/filename": f"CUB_200_2011/images/{name}".encode(),
            "label": int(name[:3]) - 1,
            "label_name": b"x",
            "bbox": [0.0, 0.0, 1.0, 1.0],
            "segmentation_mask": png(np.zeros((2, 2), np.uint8)),
        }
        for name, data in reversed(files.items())
    ]
    write_tfds(tmp_path / "tfds", "caltech_birds2011", {"train": rows[::2], "test": rows[1::2]})
    sets = [load_cub(tmp_path / "CUB.tgz"), load_cub(tmp_path / "out"), load_cub_tfds(tmp_path / "tfds")]
    np.testing.assert_array_equal(sets[0].images, pack.images)
    assert {data.digest for data in sets} == {pack.digest}


def test_the_class_split_of_cub_is_the_published_rule():
    split = class_splits.published("cub")
    assert list(split) == sorted(split) and len(split) == 200
    rule = {0: "train", 1: "validation", 2: "train", 3: "test"}
    assert list(split.values()) == [rule[i % 4] for i in range(200)]


def test_odd_cub_input_is_one_clear_line(tmp_path, birds):
    write_tgz(tmp_path / "CUB.tgz", {f"images/{name}": data for name, data in birds[1].items()})
    whole = (tmp_path / "CUB.tgz").read_bytes()
    for kept in (0, 100, len(whole) // 2, len(whole) - 20):
        (tmp_path / "cut.tgz").write_bytes(whole[:kept])
        with pytest.raises(ValueError, match="cut.tgz: cannot read tar archive"):
            load_cub(tmp_path / "cut.tgz")
    listing = "".join(f"{i} {name}\n" for i, name in enumerate([*birds[1], "004.Groove_billed_Ani/lost.jpg"]))
    members = {f"CUB_200_2011/images/{name}": data for name, data in birds[1].items()}
    write_tgz(tmp_path / "lost.tgz", members | {"CUB_200_2011/images.txt": listing.encode()})
    with pytest.raises(ValueError, match="1 photos of its images.txt are missing, first 004.*/lost.jpg"):
        load_cub(tmp_path / "lost.tgz")
    write_tgz(tmp_path / "empty.tgz", {"README": b"x"})
    with pytest.raises(ValueError, match="empty.tgz: no photos"):
        load_cub(tmp_path / "empty.tgz")
    write_folder(tmp_path / "cats", as_files(photos("a")))
    with pytest.raises(ValueError, match="no split given for class 'a'"):
        load_cub(tmp_path / "cats")


def mini_content():
    return photos(WNIDS.values(), each=4)


def write_mini(path, form):
    content = mini_content()
    if form == "flat folders":
        write_folder(path, as_files(content))
    elif form == "split folders":
        for side, name in WNIDS.items():
            write_folder(path / side, as_files({name: content[name]}))
    elif form in ("csv", "images only"):
        named = {name: {f"{name}{file}": image for file, image in files.items()} for name, files in content.items()}
        write_folder(path / "images", {key.split("/")[1]: data for key, data in as_files(named).items()})
        for side, name in WNIDS.items() if form == "csv" else ():
            with (path / f"{side}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([("filename", "label"), *((entry, name) for entry in named[name])])
    else:
        for side, name in WNIDS.items():
            images = np.stack(list(content[name].values()))
            saved = {"image_data": images, "class_dict": {name: list(range(4))}}
            (path / f"mini-imagenet-cache-{side}.pkl").write_bytes(pickle.dumps(saved, protocol=int(form[-1])))


@pytest.mark.parametrize("form", ["flat folders", "split folders", "csv", "images only", "pickles 2", "pickles 5"])
def test_miniimagenet_is_the_same_from_every_form_people_have(tmp_path, form):
    write_mini(tmp_path, form)
    data = load_miniimagenet(tmp_path)
    assert sides(data) == {WNIDS["train"]: "train", WNIDS["val"]: "validation", WNIDS["test"]: "test"}
    starts = dict(zip(data.class_names, np.cumsum(data.counts) - data.counts, strict=True))
    for name, files in mini_content().items():
        np.testing.assert_array_equal(data.images[starts[name] : starts[name] + 4], list(files.values()))


def test_pickles_with_numbered_labels_are_read_too(tmp_path):
    for side in ("train_phase_train", "train_phase_val", "val", "test"):
        saved = {"data": np.stack([photo([len(side), i]) for i in range(4)]), "labels": [7, 8, 7, 8]}
        (tmp_path / f"miniImageNet_category_split_{side}.pickle").write_bytes(pickle.dumps(saved))
    data = load_miniimagenet(tmp_path)
    assert data.class_names[:2] == ("train/7", "train/8") and np.bincount(data.class_split).tolist() == [2, 2, 2]
    np.testing.assert_array_equal(data.images[1], photo([len("train_phase_train"), 2]))


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_never_runs_what_it_contains(tmp_path):
    folder = tmp_path / "mini"
    folder.mkdir()
    (folder / "train.pkl").write_bytes(pickle.dumps({"image_data": Attack(tmp_path / "owned")}))
    with pytest.raises(ValueError, match="train.pkl: cannot read pickle .*mkdir, which is not loaded for safety"):
        load_miniimagenet(folder)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps([1]), pickle.dumps({"data": 1, "labels": [1]})])
def test_odd_pickles_are_one_clear_line(tmp_path, content):
    (tmp_path / "train.pkl").write_bytes(content)
    with pytest.raises(ValueError, match="train.pkl: cannot read pickle") as caught:
        load_miniimagenet(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_class_split_of_miniimagenet_has_its_published_sizes():
    split = list(class_splits.published("miniimagenet").values())
    assert [split.count(side) for side in SPLITS] == [64, 16, 20]
