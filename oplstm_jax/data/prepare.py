"""Preparing a data set: find its files (or download them), decode once, and keep the result under its name."""

import os
from collections.abc import Callable
from pathlib import Path

from oplstm_jax.data import cache
from oplstm_jax.data.download import download_dir, fetch
from oplstm_jax.data.images import ImageSet
from oplstm_jax.data.sources import cub, miniimagenet, omniglot, tfds
from oplstm_jax.data.sources.folder import load_folder
from oplstm_jax.data.sources.packs import load_pack

IMAGE_SIZES = {"omniglot": 28, "cub": 84, "miniimagenet": 84}


def prepare(
    name: str,
    source: str | None = None,
    image_size: int | None = None,
    *,
    channels: int = 3,
    invert: bool = False,
    split_file: str | Path | None = None,
) -> tuple[ImageSet, Path]:
    """Makes the prepared set `name` and returns it with the path of its file.

    source: an .npz pack or a folder; for omniglot and cub also their archives (a folder with the two zips, or the
    .tgz), "tfds" or "tfds:DATA_DIR"; None downloads them. Other names are the user's own and need a source.
    channels, invert, split_file: for a folder of one's own images alone; see `load_folder`.

    Raises ValueError for whatever is missing, damaged or unknown, in one line.
    """
    cache.pack_path(name)  # a bad name is found before hours of decoding
    if name == "glyphs":
        raise ValueError("glyphs is built in and needs no preparing")
    size = image_size or IMAGE_SIZES.get(name)
    is_own_folder = source is not None and name not in IMAGE_SIZES and os.path.isdir(Path(source).expanduser())
    if (split_file is not None or invert or channels != 3) and not is_own_folder:
        raise ValueError(f"{source or name}: split_file, invert and channels are only for a folder of your own images")
    if source is None:
        source = str(_download(name))
    if is_own_folder:
        loaded = load_folder(Path(source).expanduser(), size or 84, channels, invert=invert, split_file=split_file)
    else:
        loaded = _read(name, source, size)
    loaded = loaded._replace(name=name)
    return loaded, cache.save(loaded)


def _read(name: str, source: str, size: int | None) -> ImageSet:
    if source == "tfds" or source.startswith("tfds:"):
        return _read_tfds(name, source.partition(":")[2] or None, size)
    path = Path(source).expanduser()
    if not os.path.exists(path):
        raise ValueError(f"{source}: no such file or folder")
    if path.suffix == ".npz":
        return load_pack(path, size, allow_shared=name in IMAGE_SIZES)
    readers: dict[str, Callable[..., ImageSet]]
    readers = {"omniglot": omniglot.load_omniglot, "cub": cub.load_cub, "miniimagenet": miniimagenet.load_miniimagenet}
    if name not in readers:
        raise ValueError(f"{source}: expected an .npz pack or a folder of class folders")
    return readers[name](path, size)


def _read_tfds(name: str, data_dir: str | None, size: int | None) -> ImageSet:
    readers: dict[str, Callable[..., ImageSet]]
    readers = {"omniglot": omniglot.load_omniglot_tfds, "cub": cub.load_cub_tfds}
    if name not in readers:
        raise ValueError(f"TFDS is a source for {' and '.join(readers)}, not for {name!r}")
    return readers[name](data_dir, size)


def _download(name: str) -> Path:
    """Fetches the official archives of a data set and returns what its reader wants: their folder, or the one file."""
    if name == "omniglot":
        for file in tfds.downloads("omniglot", omniglot.ARCHIVES):
            fetch(*file)
        return download_dir()
    if name == "cub":
        return fetch(*tfds.downloads("caltech_birds2011", [cub.ARCHIVE])[0])
    if name == "miniimagenet":
        kinds = "the 100 class folders, or train.csv, val.csv and test.csv beside `images`, or pickles of arrays"
        raise ValueError(f"miniimagenet has no official download; give a folder with --from that holds {kinds}")
    raise ValueError(f"nothing is known about {name!r}; give its images with --from PATH (a folder or an .npz pack)")
