"""CUB-200-2011 (Wah et al. 2011): 200 kinds of birds, whole images squashed to a square, from the archive or TFDS."""

import re
from pathlib import Path

import numpy as np

from oplstm_jax.data import class_splits
from oplstm_jax.data.decode import decode, resize
from oplstm_jax.data.images import ImageSet, image_set
from oplstm_jax.data.progress import progress
from oplstm_jax.data.sources.archives import tar_members
from oplstm_jax.data.sources.build import Form, build_set, path_file
from oplstm_jax.data.sources.folder import class_images, find_classes
from oplstm_jax.data.sources.tfds import examples

ARCHIVE = "CUB_200_2011.tgz"
PHOTO = re.compile(r"(?:.*/)?images/(\d{3}\.[^/]+)/([^/]+\.jpg)")


def load_cub(path: str | Path, image_size: int = 84) -> ImageSet:
    """Reads CUB_200_2011.tgz, or the folder that it unpacks to (or the folder `images` in it).

    Classes are ordered by folder name and split by the published rule; a folder may hold some of the 200 only.

    Raises ValueError for a damaged archive, a damaged photo, and folders that are none of CUB's.
    """
    path = Path(path)
    if path.is_file():
        return _from_archive(path, image_size)
    for inner in ("CUB_200_2011/images", "images"):
        if (path / inner).is_dir():
            path = path / inner
            break
    folders, _ = find_classes(path)
    files = {name: [path_file(photo) for photo in class_images(folder)] for name, folder in folders.items()}
    return build_set("cub", files, class_splits.published("cub"), Form(image_size), allow_shared=True)


def load_cub_tfds(data_dir: str | Path | None = None, image_size: int = 84) -> ImageSet:
    """Reads TFDS' prepared `caltech_birds2011` without TensorFlow. Raises ValueError if it is not prepared."""
    names = list(class_splits.published("cub"))
    photos: dict[str, dict[str, np.ndarray]] = {}
    for example in examples("caltech_birds2011", ("train", "test"), data_dir):
        file = str(example["image/filename"]).rsplit("/", 1)[-1]
        photos.setdefault(names[int(example["label"])], {})[file] = resize(example["image"], image_size)
    return _from_photos(photos, "TFDS caltech_birds2011")


def _from_archive(path: Path, image_size: int) -> ImageSet:
    photos: dict[str, dict[str, np.ndarray]] = {}
    listed: list[str] = []
    for name, data in progress(tar_members(path), f"decoding {path.name}"):
        if name.endswith("CUB_200_2011/images.txt"):
            listed = [line.split()[-1] for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
        if match := PHOTO.fullmatch(name):
            photos.setdefault(match[1], {})[match[2]] = decode(data, f"{path}: {name}", image_size)
    missing = [name for name in listed if name.rpartition("/")[2] not in photos.get(name.rpartition("/")[0], ())]
    if missing:
        raise ValueError(f"{path}: {len(missing)} photos of its images.txt are missing, first {missing[0]}")
    return _from_photos(photos, str(path))


def _from_photos(photos: dict[str, dict[str, np.ndarray]], source: str) -> ImageSet:
    """Class -> file name -> photo, both put in order."""
    if not photos:
        raise ValueError(f"{source}: no photos; expected files images/001.Black_footed_Albatross/*.jpg and so on")
    names = sorted(photos)
    images = np.stack([photos[name][file] for name in names for file in sorted(photos[name])])
    split = class_splits.indices(names, class_splits.published("cub"), source)
    return image_set("cub", images, [len(photos[name]) for name in names], names, split, allow_shared=True)
