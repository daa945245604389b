"""Builds data sets on the disk in the layouts their official downloads and TFDS have, for the tests of sources."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

from oplstm_jax.data import SPLITS

SHARED = Path(os.environ.get("OPLSTM_SHARED", Path(__file__).parents[1].parent / "shared")) / "data"


def shared(name):
    """The path of a pack of real data; the test is skipped where there is none."""
    if not (SHARED / name).is_file():
        pytest.skip(f"needs {SHARED / name} (OPLSTM_SHARED says where the packs are)")
    return SHARED / name


def png(image, mode=None):
    """An image array as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    (picture.convert(mode) if mode else picture).save(buffer, format="PNG")
    return buffer.getvalue()


def photo(seed):
    """Noise of the size of miniImageNet's images, uint8 [84, 84, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (84, 84, 3)).astype(np.uint8)


def photos(classes, each=3):
    """Class -> file name -> pixels."""
    return {name: {f"{i}.png": photo([c, i]) for i in range(each)} for c, name in enumerate(classes)}


def as_files(content):
    """The same as the content of files: class/file name -> bytes of a PNG file."""
    return {f"{name}/{file}": png(image) for name, files in content.items() for file, image in files.items()}


def sides(data):
    """Class name -> split."""
    return dict(zip(data.class_names, (SPLITS[i] for i in data.class_split), strict=True))


def omniglot_drawings(alphabets=None):
    """(is background, name as in the archives, drawer, ink as 0 or 1 [105, 105]) of the real drawings."""
    with np.load(shared("omniglot105_packed.npz")) as pack:
        names = [f"{a}/{c}" for a, c in zip(pack["class_alphabet"], pack["class_character"], strict=True)]
        background, labels, drawers = pack["class_is_background"], pack["labels"], pack["drawer"]
        bits = np.unpackbits(pack["packed"], axis=1)[:, : 105 * 105].reshape(-1, 105, 105)
    for ink, label, drawer in zip(bits, labels, drawers, strict=True):
        if alphabets is None or names[label].split("/")[0] in alphabets:
            yield bool(background[label]), names[label], int(drawer), ink


def write_zip(path, members):
    """A zip archive of name -> bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def write_tgz(path, members):
    """A compressed tar archive of name -> bytes."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def write_folder(path, members):
    """A folder of name -> bytes."""
    for name, data in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def write_tfds(data_dir, name, splits):
    """A data set as TFDS prepares it: split -> examples, feature name -> bytes, integer or list of floats."""
    builder = tfds.builder(name, data_dir=str(data_dir), file_format="array_record")
    folder = builder.data_path
    folder.mkdir(parents=True)
    infos = []
    for split, rows in splits.items():
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name=name, split=split, filetype_suffix="array_record"
        )
        records = [_example(row) for row in rows]
        writer = ArrayRecordWriter(str(folder / f"{name}-{split}.array_record-00000-of-00001"), "group_size:1")
        for record in records:
            writer.write(record)
        writer.close()
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[len(records)],
                num_bytes=sum(map(len, records)),
                filename_template=template,
            )
        )
    builder.info.set_splits(tfds.core.SplitDict(infos))
    builder.info.write_to_directory(folder)


def _example(row):
    features = tf_feature_pb2.Features(feature={name: _feature(value) for name, value in row.items()})
    return tf_example_pb2.Example(features=features).SerializeToString()


def _feature(value):
    if isinstance(value, bytes):
        return tf_feature_pb2.Feature(bytes_list=tf_feature_pb2.BytesList(value=[value]))
    if isinstance(value, list):
        return tf_feature_pb2.Feature(float_list=tf_feature_pb2.FloatList(value=value))
    return tf_feature_pb2.Feature(int64_list=tf_feature_pb2.Int64List(value=[value]))
