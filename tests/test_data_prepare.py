"""Preparing, caching, downloading and the command line: whole or not at all, and one line for every bad input."""

import functools
import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from data_files import png, shared, write_folder
from PIL import Image

from oplstm_jax.data import cache, image_set, load
from oplstm_jax.data.__main__ import main
from oplstm_jax.data.download import download_dir, fetch
from oplstm_jax.data.prepare import prepare
from oplstm_jax.data.sources import tfds


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OPLSTM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mine(tmp_path):
    """A folder of 10 classes with 4 pictures each."""
    pixels = np.random.default_rng(0).integers(0, 256, (10, 4, 9, 9)).astype(np.uint8)
    pictures = {f"class{c}/{i}.png": png(pixels[c, i]) for c in range(10) for i in range(4)}
    write_folder(tmp_path / "mine", pictures)
    return tmp_path / "mine"


@pytest.fixture
def server(tmp_path):
    """The address of a web server that serves the file data.zip."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "data.zip").write_bytes(b"content" * 1000)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "www")
    handler.func.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.handle_error = lambda *_: None  # a client that has seen enough
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


SHA = hashlib.sha256(b"content" * 1000).hexdigest()


def test_a_prepared_set_is_found_by_its_name_and_is_the_same(mine):
    prepared, path = prepare("birds_of_mine", str(mine), 12)
    assert path == Path(os.environ["OPLSTM_CACHE"]) / "birds_of_mine.npz" and path.is_file()
    again = load("birds_of_mine")
    assert again.name == "birds_of_mine" and again.digest == prepared.digest == load(mine, 12).digest
    np.testing.assert_array_equal(again.images, prepared.images)


def test_omniglot_is_prepared_from_a_pack_at_its_published_size():
    prepared, _ = prepare("omniglot", str(shared("omniglot105_packed.npz")))
    assert prepared.images.shape == (32460, 28, 28, 1)
    assert load("omniglot").digest == load(shared("omniglot28.npz")).digest


def test_a_changed_prepared_set_is_refused(mine):
    _, path = prepare("own", str(mine))
    with np.load(path) as arrays:
        changed = dict(arrays)
    changed["images"][0, 0, 0, 0] ^= 1
    np.savez(path, **changed)
    with pytest.raises(ValueError, match="own.npz: content does not match its digest; delete the file and prepare"):
        load("own")


def test_a_failing_write_leaves_the_old_set_and_no_litter(mine, monkeypatch):
    prepared, path = prepare("own", str(mine))
    other = image_set("own", 255 - prepared.images, prepared.counts, prepared.class_names, prepared.class_split)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match="cannot write prepared set .No space left on device"):
        cache.save(other)
    assert [file.name for file in path.parent.iterdir()] == ["own.npz"]
    assert load("own").digest == prepared.digest


def test_a_process_killed_while_it_writes_leaves_no_set(tmp_path):
    script = (
        "import numpy as np, os\n"
        "from oplstm_jax.data import cache, image_set\n"
        "images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)\n"
        "os.fsync = lambda _: os.kill(os.getpid(), 9)\n"
        "cache.save(image_set('killed', images, [2], ['a'], [0]))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert not cache.is_prepared("killed") and cache.prepared() == []
    with pytest.raises(ValueError, match="no data set, .npz file or folder 'killed'; available names: glyphs$"):
        load("killed")


def test_a_download_is_verified_and_not_repeated(server):
    path = fetch(f"{server}/data.zip", "data.zip", 7000, SHA)
    assert path == download_dir() / "data.zip" and path.read_bytes() == b"content" * 1000
    assert fetch("http://127.0.0.1:1/gone.zip", "data.zip", 7000, SHA) == path


def test_a_wrong_checksum_leaves_no_file(server):
    with pytest.raises(ValueError, match=f"data.zip has SHA-256 {SHA}; expected 0000; fetch it by hand and put it at"):
        fetch(f"{server}/data.zip", "data.zip", 7000, "0000")
    assert list(download_dir().iterdir()) == []


def test_a_wrong_file_put_there_by_hand_is_named():
    download_dir().mkdir(parents=True)
    (download_dir() / "data.zip").write_bytes(b"x")
    with pytest.raises(ValueError, match="data.zip: file has SHA-256 .*; delete it and try again"):
        fetch("http://127.0.0.1:1/data.zip", "data.zip", 1, SHA)


@pytest.mark.parametrize("page", ["missing.zip", None])
def test_a_failing_download_says_what_to_fetch_and_where_to_put_it(server, page):
    url = f"{server}/{page}" if page else "http://127.0.0.1:1/data.zip"
    with pytest.raises(ValueError, match=f"cannot download {url} .*; fetch it by hand and put it at .*/data.zip"):
        fetch(url, "data.zip", 7000, SHA)
    assert list(download_dir().iterdir()) == []


def test_an_endless_download_stops_at_the_expected_size(server, tmp_path):
    (tmp_path / "www" / "data.zip").write_bytes(bytes(50_000_000))
    start = time.monotonic()
    with pytest.raises(ValueError, match="has SHA-256"):
        fetch(f"{server}/data.zip", "data.zip", 7000, SHA)
    assert time.monotonic() - start < 5


def test_the_official_addresses_and_checksums_are_known():
    background, evaluation = tfds.downloads("omniglot", ("images_background.zip", "images_evaluation.zip"))
    assert background.url == "https://github.com/brendenlake/omniglot/raw/master/python/images_background.zip"
    assert (background.size, evaluation.size) == (9464212, 6462886)
    assert evaluation.sha256 == "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee"
    (birds,) = tfds.downloads("caltech_birds2011", ["CUB_200_2011.tgz"])
    assert birds.url.startswith("https://data.caltech.edu/") and len(birds.sha256) == 64


def test_show_prints_counts_and_writes_a_contact_sheet(mine, capsys, tmp_path):
    assert main(["prepare", "own", "--from", str(mine), "--channels", "1", "--image-size", "10"]) == 0
    assert main(["show", "own", "--way", "3", "--shot", "2", "--query", "2", "--episodes", "2"]) == 0
    printed = capsys.readouterr().out
    assert "own: 40 images of 10 classes, 10x10, 1 channel" in printed and "contact sheet: own.png" in printed
    with Image.open(tmp_path / "own.png") as sheet:
        assert sheet.size == (4 * 10 + 4, 2 * 30 + 4) and np.asarray(sheet).std() > 20


def test_a_pack_holds_the_classes_asked_for_in_their_splits(mine, capsys, tmp_path):
    assert main(["prepare", "own", "--from", str(mine), "--channels", "1", "--image-size", "10"]) == 0
    whole = load("own")
    assert main(["pack", "own", "part.npz", "--per-split", "2", "1", "1"]) == 0
    assert "packed: part.npz" in capsys.readouterr().out
    part = load(str(tmp_path / "part.npz"))
    assert np.bincount(part.class_split).tolist() == [2, 1, 1]
    for name, split, images in zip(part.class_names, part.class_split, np.split(part.images, 4), strict=True):
        index = whole.class_names.index(name)
        assert whole.class_split[index] == split
        np.testing.assert_array_equal(images, whole.images[4 * index : 4 * index + 4])
    assert main(["pack", "own", "two.npz", "--classes", "class1", "class[23]"]) == 0
    assert load(str(tmp_path / "two.npz")).class_names == ("class1", "class2", "class3")


@pytest.mark.parametrize("option", [{"invert": True}, {"split_file": "split.csv"}, {"channels": 1}], ids=str)
@pytest.mark.parametrize(("name", "source"), [("own", "pack.npz"), ("cub", "mine"), ("omniglot", None)])
def test_options_of_a_folder_are_refused_elsewhere(mine, name, source, option):
    cache.write_pack(mine.parent / "pack.npz", load(mine, 12))
    message = f"^{source or name}: split_file, invert and channels are only for a folder of your own images$"
    with pytest.raises(ValueError, match=message):
        prepare(name, source, **option)
    assert prepare("own", "pack.npz", channels=3)[0].images.shape[-1] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["pack", "mine"],
        ["pack", "mine", "part.txt"],
        ["pack", "mine", "part.npz", "--classes", "nobody"],
        ["pack", "mine", "part.npz", "--per-split", "99", "1", "1"],
        ["pack", "mine", "no/such/folder/part.npz"],
        ["show"],
        ["show", "nothing-here"],
        ["show", "mine", "--way", "0"],
        ["show", "mine", "--way", "11"],
        ["show", "mine", "--query", "4"],
        ["show", "mine", "--split", "dev"],
        ["show", "mine", "--out", "no/such/folder/x.png", "--query", "1"],
        ["prepare", "../x", "--from", "mine"],
        ["prepare", "own"],
        ["prepare", "own", "--from", "nothing-here"],
        ["prepare", "own", "--from", "mine/class0/0.png"],
        ["prepare", "own", "--from", "mine", "--split-file", "nothing.csv"],
        ["prepare", "own", "--from", "tfds"],
        ["prepare", "glyphs"],
        ["prepare", "miniimagenet"],
        ["prepare", "miniimagenet", "--from", "mine/class0/0.png"],
        ["prepare", "cub", "--from", "mine"],
        ["prepare", "omniglot", "--from", "mine"],
    ],
    ids=" ".join,
)
def test_bad_input_is_exit_code_2_and_one_line(mine, capsys, arguments):
    try:
        code = main(arguments)
    except SystemExit as leaving:
        code = leaving.code
    printed = capsys.readouterr()
    assert code == 2 and printed.out == "" and cache.prepared() == []
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and printed.err.endswith("\n")


def test_the_data_package_imports_neither_tensorflow_nor_tfds_nor_matplotlib():
    heavy = {"tensorflow", "tensorflow_datasets", "matplotlib"}
    script = f"import sys, oplstm_jax.data\nprint({heavy} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert shown.stdout == "set()\n"
