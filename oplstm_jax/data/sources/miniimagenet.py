"""miniImageNet (Vinyals et al. 2016) with the split of Ravi and Larochelle (2017): 100 classes x 600 images.

It has no official download. Three forms are common and read here: a folder per class (flat or in train, val, test),
Ravi's csv files with a folder `images`, and pickles of arrays, which are read without executing what they contain.
"""

import csv
import pickle
from pathlib import Path

import numpy as np

from oplstm_jax.data import class_splits
from oplstm_jax.data.decode import resize_all
from oplstm_jax.data.images import SPLITS, ImageSet, image_set
from oplstm_jax.data.sources.build import File, Form, build_set, image_paths, path_file
from oplstm_jax.data.sources.folder import class_images, find_classes
from oplstm_jax.data.sources.pickles import load_arrays

CSVS = {"train": "train.csv", "validation": "val.csv", "test": "test.csv"}


def load_miniimagenet(path: str | Path, image_size: int = 84) -> ImageSet:
    """Reads a folder in one of the three forms; classes are WordNet ids (pickles with numbers: split/number).

    Raises ValueError for a folder in none of these forms, files that are missing or damaged, and unknown classes.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder; expected one with class folders, csv files or pickles")
    pickles = sorted(file for file in path.iterdir() if file.suffix in (".pkl", ".pickle"))
    if pickles:
        return _from_pickles(pickles, path, image_size)
    if (path / "images").is_dir():
        files, split = _listed_files(path)
    else:
        folders, split = find_classes(path)
        files = {name: [path_file(image) for image in class_images(folder)] for name, folder in folders.items()}
    split = split or class_splits.published("miniimagenet")
    return build_set("miniimagenet", files, split, Form(image_size), allow_shared=True)


def _listed_files(path: Path) -> tuple[dict[str, list[File]], dict[str, str]]:
    """Class -> files and class -> split by Ravi's csvs; without csvs by the WordNet id each file name begins with."""
    files: dict[str, list[File]] = {}
    split: dict[str, str] = {}
    if not (path / CSVS["train"]).is_file():
        for image in image_paths(path / "images"):
            files.setdefault(image.name[:9], []).append(path_file(image))
        if not files:
            raise ValueError(f"{path / 'images'}: no images; expected files such as n0153282900000005.jpg")
        return dict(sorted(files.items())), {}
    for side, name in CSVS.items():
        for filename, label in _csv_rows(path / name):
            if split.setdefault(label, side) != side:
                raise ValueError(f"{path / name}: class {label!r} is also in {CSVS[split[label]]}")
            files.setdefault(label, []).append(path_file(path / "images" / Path(filename).name))
    return files, split


def _csv_rows(path: Path) -> list[tuple[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [(row["filename"], row["label"]) for row in csv.DictReader(file)]
    except (OSError, KeyError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot read list ({error}); expected csv with columns filename,label") from error


def _from_pickles(paths: list[Path], folder: Path, image_size: int) -> ImageSet:
    """One pickle per split: image_data with class_dict (class -> rows), or data with labels."""
    sides = {side: [p for p in paths if _side(p.name) == side] for side in SPLITS}
    if any(len(found) > 1 for found in sides.values()) or not any(sides.values()):
        listed = ", ".join(path.name for path in paths)
        raise ValueError(f"{folder}: found the pickles {listed}; expected one each for train, val and test")
    images, counts, names, split = [], [], [], []
    for index, (side, found) in enumerate(sides.items()):
        for path in found:
            data, rows = _arrays(path, side)
            for name in sorted(rows):
                images.append(resize_all(data[rows[name]], image_size))
                counts.append(len(rows[name]))
                names.append(name)
                split.append(index)
    return image_set("miniimagenet", np.concatenate(images), counts, names, split, allow_shared=True)


def _side(filename: str) -> str | None:
    """The split a pickle's name ends with or speaks of; phases such as train_phase_val belong to another protocol."""
    words = filename.lower().replace("-", "_").rsplit(".", 1)[0].split("_")
    if "phase" in words:
        return "train" if words[-1] == "train" else None
    sides = [class_splits.ALIASES.get(word, word) for word in reversed(words)]
    return next((side for side in sides if side in SPLITS), None)


def _arrays(path: Path, side: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Images [I, H, W, 3] and class -> rows of one pickle."""
    try:
        content = load_arrays(path)
        data = np.asarray(content["image_data"] if "image_data" in content else content["data"])
        if "class_dict" in content:
            rows = {str(name): np.asarray(members, np.int64) for name, members in content["class_dict"].items()}
        else:
            labels = np.asarray(content["labels"], np.int64)
            rows = {f"{side}/{label}": np.flatnonzero(labels == label) for label in np.unique(labels)}
        if data.dtype != np.uint8 or data.ndim != 4 or data.shape[-1] != 3 or not rows:
            raise ValueError(f"images are {data.dtype} {list(data.shape)}")
        if min(r.min() for r in rows.values()) < 0 or max(r.max() for r in rows.values()) >= len(data):
            raise ValueError("labels point outside the images")
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, OSError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path}: cannot read pickle ({' '.join(str(error).split())}); expected a dictionary with image_data and "
            "class_dict, or data and labels, images as uint8 [I, H, W, 3]"
        ) from error
    return data, rows
