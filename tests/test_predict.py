"""From a trained run to predictions on a person's own images, through the commands."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from oplstm_jax.data import glyphs

SMALL = [
    "--config.data=DATA",
    "--config.base=mlp",
    "--config.hidden=(64,)",
    "--config.train_tasks=800",
    "--config.validate_every=800",
    "--config.log_every=800",
    "--config.validation_tasks=5",
    "--config.test_tasks=5",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of a few drawn characters, classes split by sub-folder, and one of the test classes' drawings apart."""
    root = tmp_path_factory.mktemp("images")
    drawn = glyphs.load_glyphs(classes=30, drawings=12, seed=3)
    starts = np.cumsum(drawn.counts) - drawn.counts
    for number, start in enumerate(starts):
        side = "train" if number < 20 else "val" if number < 25 else "test"
        for drawing in range(12):
            folder = root / "all" / side / f"c{number:02d}"
            if side == "test":
                mine = root / ("support" if drawing == 0 else "query") / (f"c{number:02d}" if drawing == 0 else "")
                mine.mkdir(parents=True, exist_ok=True)
                Image.fromarray(drawn.images[start + drawing, :, :, 0]).save(mine / f"c{number:02d}_{drawing}.png")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(drawn.images[start + drawing, :, :, 0]).save(folder / f"{drawing}.png")
    return root


@pytest.fixture(scope="module")
def run(commands, data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = "--config=experiments/configs/glyphs.py:protonet"
    words = [word.replace("DATA", str(data / "all")) for word in [*SMALL, "--config.image_size=28"]]
    done = commands("experiments.train", f"--workdir={workdir}", config, *words)
    assert done.code == 0, done.output
    return workdir


def test_own_images_are_classified(commands, data, run, tmp_path):
    words = [f"--support={data / 'support'}", f"--query={data / 'query'}", f"--out={tmp_path / 'out'}"]
    done = commands("experiments.predict", f"--workdir={run}", *words)
    assert done.code == 0, done.output
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    rows = written["predictions"]
    assert len(rows) == 5 * 11
    assert written["classes"] == [f"c{n}" for n in range(25, 30)]
    assert all(abs(sum(row["probabilities"].values()) - 1) < 1e-5 for row in rows)
    right = np.mean([row["image"].startswith(row["class"]) for row in rows])
    assert right > 0.4  # chance is 0.2
    with Image.open(tmp_path / "out" / "predictions.png") as picture:
        assert picture.size[0] > 100
    assert sum(line.startswith("c2") for line in done.stdout.splitlines()) == len(rows)


def test_one_image_alone_takes_the_statistics_of_the_support_set(commands, data, run, tmp_path):
    (tmp_path / "one").mkdir()
    shutil.copy(next((data / "query").iterdir()), tmp_path / "one")
    words = [f"--support={data / 'support'}", f"--query={tmp_path / 'one'}", f"--out={tmp_path / 'out'}"]
    done = commands("experiments.predict", f"--workdir={run}", *words)
    assert done.code == 2 and done.output.count("\n") == 1
    assert "one: one image, and norm transductive compares it with the others" in done.output
    assert not (tmp_path / "out").exists()
    done = commands("experiments.predict", f"--workdir={run}", "--norm=support", *words)
    assert done.code == 0, done.output
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())["norm"] == "support"


def test_bad_folders(commands, data, run, tmp_path):
    for support, query, words in (
        (tmp_path / "absent", data / "query", "no such folder"),
        (data / "support", tmp_path, "no images"),
        (tmp_path, data / "query", "no sub-folders"),
    ):
        arguments = [f"--support={support}", f"--query={query}", f"--out={tmp_path / 'out'}"]
        done = commands("experiments.predict", f"--workdir={run}", *arguments)
        assert done.code == 2
        assert done.output.count("\n") == 1 and words in done.output
    assert not (tmp_path / "out").exists()
