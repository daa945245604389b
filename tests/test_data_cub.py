"""CUB: the archive, its folder, TFDS and a pack give the same set; odd input is one clear line."""

import numpy as np
import pytest
from data_files import as_files, photos, png, shared, write_folder, write_tfds, write_tgz

from oplstm_jax.data import class_splits, load, select_classes
from oplstm_jax.data.sources.cub import load_cub, load_cub_tfds


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
