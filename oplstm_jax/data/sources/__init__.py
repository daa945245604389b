"""One module per source of images, and `load`, which finds the right one for a name or a path."""

import numbers
import os
from collections.abc import Sequence
from pathlib import Path

from oplstm_jax.data import cache
from oplstm_jax.data.decode import resize_all
from oplstm_jax.data.glyphs import kept_glyphs
from oplstm_jax.data.images import ImageSet, image_set, select_classes
from oplstm_jax.data.sources.folder import load_folder
from oplstm_jax.data.sources.packs import load_pack

PREPARABLE = ("omniglot", "cub", "miniimagenet")


def load(
    name_or_path: str | Path,
    image_size: int | None = None,
    *,
    channels: int | None = None,
    classes: Sequence[str] | None = None,
    invert: bool = False,
    split_file: str | Path | None = None,
    seed: int = 0,
) -> ImageSet:
    """The images behind a name ("glyphs", or one that was prepared), a pack (.npz) or a folder of classes.

    image_size: resize to so many pixels square; None keeps a prepared set or pack as it is and makes folders 84.
    channels: 1 or 3; None keeps what is there and reads folders as RGB. classes: only classes with these names or
    shell patterns. invert: for a folder of dark drawings on white, since learners of Omniglot or glyphs expect bright
    ink on black. split_file: csv with columns class,split for a folder. seed: draws the class split of a folder or
    pack that has none. A name goes before a path; write ./NAME for a folder that is called like a prepared set.

    Raises ValueError for whatever cannot be found, read or used, in one line.
    """
    if image_size is not None and (not isinstance(image_size, numbers.Integral) or not 1 <= image_size <= 1024):
        raise ValueError(f"image_size is {image_size!r}; expected an integer from 1 to 1024")
    if channels not in (None, 1, 3):
        raise ValueError(f"channels is {channels!r}; expected 1 (greyscale) or 3 (RGB)")
    name, path = str(name_or_path), Path(name_or_path)
    is_name = name == "glyphs" or cache.is_prepared(name)
    is_folder, is_file = name != "" and not is_name and os.path.isdir(path), os.path.isfile(path)
    if (split_file is not None or invert) and not is_folder:
        raise ValueError(f"{name_or_path}: split_file and invert are only for a folder of images")
    if name == "glyphs":
        loaded = _sized(kept_glyphs(image_size or 28), channels)
    elif is_name:
        pack = load_pack(cache.pack_path(name), image_size, channels, allow_shared=name in PREPARABLE)
        loaded = pack._replace(name=name)
    elif is_folder:
        loaded = load_folder(path, image_size or 84, channels or 3, invert=invert, split_file=split_file, seed=seed)
    elif is_file:
        loaded = load_pack(path, image_size, channels, seed)
    else:
        raise ValueError(_not_found(name))
    return loaded if classes is None else select_classes(loaded, classes)


def _sized(loaded: ImageSet, channels: int | None) -> ImageSet:
    images = resize_all(loaded.images, None, channels)
    return image_set(loaded.name, images, loaded.counts, loaded.class_names, loaded.class_split)


def _not_found(name: str) -> str:
    known = ", ".join(["glyphs", *cache.prepared()])
    hint = f"; prepare it with `python -m oplstm_jax.data prepare {name}`" if name in PREPARABLE else ""
    return f"no data set, .npz file or folder {name[:200]!r}{hint}; available names: {known}"
