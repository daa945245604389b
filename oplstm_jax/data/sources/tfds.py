"""Data sets prepared by TensorFlow Datasets, read without TensorFlow; and its official download addresses."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from oplstm_jax.data.progress import progress


class Download(NamedTuple):
    """An official file: where it is, what it is called, how many bytes it has and their SHA-256."""

    url: str
    filename: str
    size: int
    sha256: str


def downloads(name: str, filenames: Sequence[str]) -> list[Download]:
    """The official addresses and checksums of these files of a TFDS data set, in the given order."""
    import tensorflow_datasets as tfds

    infos: dict[str, Download] = {}
    for url, info in sorted(tfds.builder(name, data_dir="/nonexistent").url_infos.items()):
        infos.setdefault(info.filename, Download(url, info.filename, int(info.size), info.checksum))
    return [infos[filename] for filename in filenames]


def examples(name: str, splits: Sequence[str], data_dir: str | Path | None = None) -> Iterator[dict]:
    """Examples, as dictionaries of numpy arrays, of the given splits of a data set that TFDS has prepared.

    Raises ValueError if it has not, with the way to prepare it.
    """
    import tensorflow_datasets as tfds

    for split in splits:
        try:
            builder = tfds.builder(name, data_dir=data_dir and str(data_dir), file_format="array_record")
            source = builder.as_data_source(split=split)
        except Exception as error:  # TFDS raises many kinds for a data set that is not there
            raise ValueError(
                f"TFDS has no prepared {name} in {data_dir or 'its default folder'}; prepare it with TensorFlow "
                f"(pip install tensorflow; tfds build {name} --file_format=array_record)"
            ) from error
        for i in progress(range(len(source)), f"reading {name} ({split})"):
            yield source[i]
