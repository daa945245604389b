"""Files that are damaged in random ways: what they held, or a ValueError of one line, and never other numbers."""

import json
import os
import pickle
import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from data_files import png, write_tgz, write_zip
from fuzzing import damage, fuzz, value_error_or
from hypothesis import strategies as st

import oplstm_jax
from experiments.configs import sine
from oplstm_jax import params, records
from oplstm_jax.checkpoint import Checkpoints
from oplstm_jax.data.decode import decode
from oplstm_jax.data.sources.archives import tar_members, zip_files
from oplstm_jax.data.sources.miniimagenet import load_miniimagenet
from oplstm_jax.files import append_line, write_text

WEIGHTS = {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": {"c": np.ones(4, np.float32)}}
PHOTOS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)


def write_files(folder):
    """File name -> what reads it, after writing whole ones of every kind."""
    members = {f"images/{i}.png": png(photo) for i, photo in enumerate(PHOTOS)}
    params.save(folder / "params.npz", WEIGHTS)
    records.write_result(folder, {"score": 1.0, "interval": 0.1, "config": {}}, np.arange(5.0))
    append_line(folder / "metrics.jsonl", json.dumps({"step": 1, "loss": 0.5}))
    write_text(folder / "config.json", sine.get_config("op_lstm").to_json_best_effort())
    write_tgz(folder / "photos.tgz", members)
    write_zip(folder / "photos.zip", members)
    (folder / "photo.png").write_bytes(members["images/0.png"])
    (folder / "mini").mkdir()
    saved = {"image_data": PHOTOS, "class_dict": {"a": [0, 1], "b": [2, 3]}}
    (folder / "mini" / "train.pkl").write_bytes(pickle.dumps(saved, protocol=2))
    return {
        "params.npz": lambda: params.load(folder / "params.npz", WEIGHTS),
        "result.json": lambda: records.read_result(folder),
        "test_scores.npy": lambda: records.read_scores(folder),
        "metrics.jsonl": lambda: records.read_metrics(folder),
        "config.json": lambda: records.read_config(folder),
        "photos.tgz": lambda: list(tar_members(folder / "photos.tgz")),
        "photos.zip": lambda: [file.read() for file in zip_files(folder / "photos.zip").values()],
        "photo.png": lambda: decode((folder / "photo.png").read_bytes(), "photo.png", 4),
        "mini/train.pkl": lambda: load_miniimagenet(folder / "mini", 8),
    }


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A function that damages one of the files, reads it, and makes it whole again."""
    folder = tmp_path_factory.mktemp("files")
    readers = write_files(folder)
    contents = {name: (folder / name).read_bytes() for name in readers}

    def read(name, data):
        (folder / name).write_bytes(damage(contents[name], data))
        try:
            value_error_or(readers[name])
        finally:
            (folder / name).write_bytes(contents[name])

    read.names = sorted(readers)
    return read


@pytest.mark.parametrize("cases", [150, pytest.param(5000, marks=pytest.mark.slow)])
def test_damaged_files(damaged, cases):
    fuzz(cases, cases, st.sampled_from(damaged.names), st.data())(damaged)(cases)


def test_a_member_without_a_name_is_refused(tmp_path):
    write_zip(tmp_path / "images.zip", {"a.png": b""})
    nameless = (tmp_path / "images.zip").read_bytes().replace(b"a.png", b"\0.png")
    (tmp_path / "images.zip").write_bytes(nameless)
    with pytest.raises(ValueError, match="images.zip: cannot read zip archive .a member has no name."):
        zip_files(tmp_path / "images.zip")


def state(number):
    values = np.random.default_rng(number).normal(size=(30, 40))
    return {"a": jnp.asarray(values, jnp.float32), "step": jnp.asarray(number)}


def harm(path, kind, draw):
    content = bytearray(path.read_bytes())
    if kind == "missing":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "zeroed":
        path.write_bytes(bytes(len(content)))
    elif content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)


def check_fallback(folder, expected):
    """The newest checkpoint that can be read holds what was saved, and so does the best one it knows of."""
    checkpoints = Checkpoints(folder)
    step, found = checkpoints.latest(expected[1])
    best = checkpoints.best_step()
    restored = (found, checkpoints.restore_best(expected[1]))
    jax.tree.map(np.testing.assert_array_equal, restored, (expected[step], expected[best]))
    checkpoints.close()
    assert (step, best) in ((3, 3), (2, 2))
    return step


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A folder with three checkpoints, each the best so far, and what they hold."""
    folder, states = tmp_path_factory.mktemp("checkpoints"), {step: state(step) for step in (1, 2, 3)}
    kept = Checkpoints(folder)
    for step, saved in states.items():
        kept.save(step, saved, 0.1 * step)
    kept.wait()
    kept.close()
    return folder, states


@pytest.mark.parametrize("rounds", [0, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["missing", "truncated", "zeroed", "one bit"])
def test_a_newest_checkpoint_with_a_damaged_file_is_right_or_falls_back(checkpoints, tmp_path, kind, rounds):
    whole, states = checkpoints
    files = sorted(path.relative_to(whole) for path in (whole / "3").rglob("*") if path.is_file())
    draw, fell_back = random.Random(rounds), 0
    for number, file in enumerate(files * max(rounds, 1)):
        if not rounds and number % 8 != len(kind) % 8:
            continue
        shutil.copytree(whole, tmp_path / "copy")
        harm(tmp_path / "copy" / file, kind, draw)
        fell_back += check_fallback(tmp_path / "copy", states) == 2
        shutil.rmtree(tmp_path / "copy")
    assert fell_back or not rounds


def test_folders_of_odd_files(tmp_path):
    """Links to nowhere and to themselves, folders and pipes called like images."""
    (tmp_path / "a").mkdir()
    os.symlink(tmp_path / "nowhere", tmp_path / "a" / "gone.png")
    os.symlink(tmp_path / "a", tmp_path / "a" / "loop")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "a" / "folder.png").mkdir()
    with pytest.raises(ValueError, match="a: class folder has no images"):
        oplstm_jax.data.load(tmp_path)
    (tmp_path / "a" / os.fsdecode(b"\xff\xfe.png")).write_bytes(b"")
    with pytest.raises(ValueError, match="cannot decode image"):
        oplstm_jax.data.load(tmp_path)
