"""Omniglot (Lake et al. 2015): 1623 characters x 20 drawings, from the official archives, their folders, or TFDS.

Drawings are inverted to ink = 255 on 0 as 8-bit images before they are resized (PIL bilinear). Classes are called
Alphabet/characterNN and come in the archives' order, background before evaluation, drawings in order of the drawer.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from oplstm_jax.data import class_splits
from oplstm_jax.data.decode import resize
from oplstm_jax.data.images import ImageSet, image_set
from oplstm_jax.data.sources.archives import zip_files
from oplstm_jax.data.sources.build import File, Form, build_set, path_file
from oplstm_jax.data.sources.tfds import examples

PARTS = ("images_background", "images_evaluation")
ARCHIVES = tuple(f"{part}.zip" for part in PARTS)
DRAWING = re.compile(r"images_(?:background|evaluation)/([^/]+/character\d+)/\d+_(\d+)\.png")
DRAWERS = 20


def load_omniglot(path: str | Path, image_size: int = 28, classes: Sequence[str] | None = None) -> ImageSet:
    """Reads a folder that holds images_background and images_evaluation, each as .zip archive or extracted.

    classes: only these characters ("Latin/character01"); None expects all 1623.

    Raises ValueError for missing or damaged archives, characters or drawings.
    """
    path = Path(path)
    drawings: dict[str, dict[int, File]] = {}
    for name, file in _part_files(path).items():
        if match := DRAWING.fullmatch(name):
            drawings.setdefault(match[1], {})[int(match[2])] = file
    files = {}
    for name in _wanted(classes):
        if sorted(drawings.get(name, ())) != list(range(1, DRAWERS + 1)):
            found = len(drawings.get(name, ()))
            raise ValueError(f"{path}: {found} drawings of {name}; expected {DRAWERS}, is an archive incomplete?")
        files[name] = [drawings[name][drawer] for drawer in range(1, DRAWERS + 1)]
    return build_set("omniglot", files, class_splits.published("omniglot"), Form(image_size, 1, invert=True))


def load_omniglot_tfds(
    data_dir: str | Path | None = None, image_size: int = 28, classes: Sequence[str] | None = None
) -> ImageSet:
    """Reads TFDS' prepared `omniglot` without TensorFlow. It has no drawers: drawings are ordered by their pixels.

    Raises ValueError if it is not prepared, or characters or drawings are missing.
    """
    published = class_splits.published("omniglot")
    alphabets = sorted({name.split("/")[0] for name in published})
    drawings: dict[str, list[np.ndarray]] = {name: [] for name in _wanted(classes)}
    for example in examples("omniglot", ("train", "test"), data_dir):
        name = f"{alphabets[int(example['alphabet'])]}/character{int(example['alphabet_char_id']) + 1:02d}"
        if name in drawings:
            ink = np.where(example["image"][..., 0] == 0, np.uint8(255), np.uint8(0))  # paper is 255, or 1 by Pillow
            drawings[name].append(resize(ink, image_size))
    for name, members in drawings.items():
        if len(members) != DRAWERS:
            raise ValueError(f"TFDS omniglot: {len(members)} drawings of {name}; expected {DRAWERS}")
        members.sort(key=lambda image: image.tobytes())
    images = np.stack([image for members in drawings.values() for image in members])
    split = class_splits.indices(drawings, published, "omniglot")
    return image_set("omniglot", images, [DRAWERS] * len(drawings), list(drawings), split)


def _wanted(classes: Sequence[str] | None) -> list[str]:
    published = class_splits.published("omniglot")
    for name in classes or ():
        if name not in published:
            raise ValueError(f"omniglot has no character {name!r}; expected a name such as {next(iter(published))}")
    return [name for name in published if classes is None or name in classes]


def _part_files(path: Path) -> dict[str, File]:
    """images_.../Alphabet/characterNN/NNNN_DD.png -> file, of both parts."""
    files: dict[str, File] = {}
    for part in PARTS:
        if (path / part).is_dir():
            found = sorted((path / part).glob("*/*/*.png"))
            files |= {file.relative_to(path).as_posix(): path_file(file) for file in found}
        elif (path / f"{part}.zip").is_file():
            files |= zip_files(path / f"{part}.zip")
        else:
            raise ValueError(f"{path}: no {part}.zip and no folder {part}; expected {' and '.join(ARCHIVES)} in it")
    return files
