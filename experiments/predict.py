"""Classifies a person's own images with a trained run.

    python -m experiments.predict --workdir=runs/omniglot --support=FOLDER --query=FOLDER [--out=predictions]
        [--invert] [--norm=support]

The sub-folders of --support are the classes, the images in them the examples to learn from; --query holds the images to
classify. Prints a table and writes predictions.json and predictions.png to --out. --invert is for dark drawings on
white paper, which learners of Omniglot or glyphs know as bright ink on black. Under norm `transductive` the query
images are normalised together, and the class of one depends on the others; --norm=support takes the support set's
statistics.
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import cli
from oplstm_jax import figures
from oplstm_jax.data.decode import decode
from oplstm_jax.data.sources.build import image_paths
from oplstm_jax.data.sources.folder import class_images, find_classes
from oplstm_jax.files import write_text
from oplstm_jax.nets.norm import check_mode
from oplstm_jax.records import CONFIG, read_config, read_result
from oplstm_jax.trained import load_trained
from oplstm_jax.types import Episode, Split

flags.DEFINE_string("workdir", None, "Folder of a finished training run on images.")
flags.DEFINE_string("support", None, "Folder with a sub-folder of example images per class.")
flags.DEFINE_string("query", None, "Folder of images to classify.")
flags.DEFINE_string("out", "predictions", "Folder for predictions.json and predictions.png.")
flags.DEFINE_bool("invert", False, "The images are dark on white.")
flags.DEFINE_string("norm", None, "Normalisation mode (the run's if not given).")

NOTE = "note: norm transductive: the class of an image depends on the others (with --norm=support it does not)"


def main() -> None:
    workdir, out = Path(cli.required("workdir")), Path(flags.FLAGS.out)
    config, result = read_config(workdir, *CONFIG), read_result(workdir)
    if result is None or len(result.get("input_shape", ())) != 3:
        raise ValueError(f"workdir {workdir}: expected a finished run on images")
    classes, support = read_support(Path(cli.required("support")), result["input_shape"])
    files = image_paths(cli.folder(cli.required("query")))
    if not files:
        raise ValueError(f"{flags.FLAGS.query}: no images; expected files such as image.jpg or image.png")
    images = np.stack([read_image(file, result["input_shape"]) for file in files])
    norm = flags.FLAGS.norm or result["norm"]
    together = check_norm(norm, len(images), config["base"])
    probabilities = classify(workdir, support, images, norm)
    if together:
        print(NOTE, file=sys.stderr)
    rows = [
        {"image": file.name, "class": classes[row.argmax()], "confidence": float(row.max())}
        | {"probabilities": dict(zip(classes, map(float, row), strict=True))}
        for file, row in zip(files, probabilities, strict=True)
    ]
    width = max(len(row["image"]) for row in rows)
    print("\n".join(f"{row['image']:<{width}}  {100 * row['confidence']:5.1f} %  {row['class']}" for row in rows))
    out.mkdir(parents=True, exist_ok=True)
    origin = {name: result[name] for name in ("learner", "params_sha256")}
    written = {**origin, "norm": norm, "classes": classes, "predictions": rows}
    write_text(out / "predictions.json", json.dumps(written, indent=1) + "\n")
    figures.predictions(out / "predictions.png", images, [f"{r['class']}\n{100 * r['confidence']:.0f} %" for r in rows])
    print(f"written: {out / 'predictions.json'} {out / 'predictions.png'}")


def read_support(path: Path, shape: list[int]) -> tuple[list[str], Split]:
    """Class names in order and the examples of all classes, x [M, H, W, channels] in [0, 1] and one-hot y [M, N]."""
    folders, _ = find_classes(cli.folder(path))
    images = {name: [read_image(file, shape) for file in class_images(place)] for name, place in folders.items()}
    labels = np.repeat(np.arange(len(images)), [len(examples) for examples in images.values()])
    x = np.stack([image for examples in images.values() for image in examples])
    return list(images), Split(jnp.asarray(x), jnp.eye(len(images))[labels])


def read_image(file: Path, shape: list[int]) -> np.ndarray:
    """One image as the run knows them: float32 [H, W, channels] in [0, 1]."""
    height, _, channels = shape
    return decode(file.read_bytes(), str(file), height, channels, flags.FLAGS.invert).astype(np.float32) / 255


def check_norm(norm: str, images: int, base: str) -> bool:
    """Whether images depend on one another. Raises ValueError for a mode there is not, or useless for one image."""
    check_mode(norm)
    together = norm == "transductive" and base != "none"
    if together and images == 1:
        reason = "norm transductive compares it with the others: expected several, or --norm=support"
        raise ValueError(f"{flags.FLAGS.query}: one image, and {reason}")
    return together


def classify(workdir: Path, support: Split, images: np.ndarray, norm: str) -> np.ndarray:
    """Class probabilities [Q, N]. Raises ValueError for a number of classes that the trained learner does not take."""
    config, learner, weights = load_trained(workdir, Episode(support, support), way=support.y.shape[1], norm=norm)
    fast, _ = jax.jit(learner.adapt)(weights, support, key=jax.random.key(config["seed"]))
    return np.asarray(jax.nn.softmax(learner.predict(weights, fast, jnp.asarray(images))))


if __name__ == "__main__":
    cli.run(main)
