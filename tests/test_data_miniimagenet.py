"""miniImageNet: every layout that people have gives the same set, and a pickle never runs what it contains."""

import csv
import os
import pickle

import numpy as np
import pytest
from data_files import as_files, photo, photos, sides, write_folder

from oplstm_jax.data import SPLITS, class_splits
from oplstm_jax.data.sources.miniimagenet import load_miniimagenet

WNIDS = {"train": "n01532829", "val": "n01855672", "test": "n01930112"}


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
