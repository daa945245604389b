"""Built-in characters that look drawn by hand: thousands of classes from a seed, no download.

A class is a recipe of one to four smooth strokes (quadratic B-splines through a wandering pen path). A drawer has a
style (slant, aspect, pen, rounding); every drawing of a drawer differs again by jitter of the pen path, of each
stroke's place and of the whole. Drawing j of every class is by drawer j. All of it is one vmapped function of keys.
"""

import functools
import hashlib
import numbers
import os
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

from oplstm_jax.data.cache import kept
from oplstm_jax.data.images import ImageSet, image_set
from oplstm_jax.types import Array

CLASSES, DRAWINGS = 1500, 20  # unless others are asked for
STROKES, KNOTS, POINTS = 4, 6, 64  # most strokes of a class, knots of a stroke, points drawn per stroke
STROKE_COUNTS = (0.15, 0.4, 0.3, 0.15)  # how often a class has 1, 2, 3, 4 strokes
BATCH = 50  # classes drawn at a time
SPLIT_FRACTIONS = (0.64, 0.16, 0.2)


class Recipe(NamedTuple):
    """What all drawings of a class share: knots [STROKES, KNOTS, 2] in [-1, 1], and which strokes there are."""

    knots: Array
    present: Array  # [STROKES], 0.0 or 1.0


class Hand(NamedTuple):
    """A drawer's habits: an affine map [2, 2] of all they draw, pen width in units of the canvas, unsteadiness."""

    shape: Array
    pen: Array
    wobble: Array


def load_glyphs(
    classes: int = CLASSES, drawings: int = DRAWINGS, image_size: int = 28, seed: int = 0, name: str = "glyphs"
) -> ImageSet:
    """`classes` characters, each drawn once by each of `drawings` drawers, ink 255 on 0, one channel.

    The first 64 % of the classes train, the next 16 % validate, the rest test. The same seed gives the same bits on
    the same kind of device, whatever generator of random numbers and precision of products JAX is set to.

    Raises ValueError for sizes that are no positive integers.
    """
    for what, value, least in (("classes", classes, 1), ("drawings", drawings, 1), ("image_size", image_size, 8)):
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
            raise ValueError(f"{what} is {value!r}; expected an integer of at least {least}")
    with jax.threefry_partitionable(True), jax.default_matmul_precision("float32"):
        images = draw_all(jax.random.key(seed, impl="threefry2x32"), classes, drawings, image_size)
    return _as_set(images.reshape(-1, image_size, image_size, 1), classes, drawings, name)


def kept_glyphs(image_size: int = 28) -> ImageSet:
    """`load_glyphs(image_size=image_size)`, drawn once and then read from the user's cache directory.

    Drawing takes ten seconds of a core, half of them compiling. What could change a bit is part of the file's name:
    this file, the versions of JAX, the kind of device, and settings of the compiler.
    """
    settings = (jax.default_backend(), str(jnp.result_type(float)), os.environ.get("XLA_FLAGS", ""))
    made_of = (Path(__file__).read_bytes(), jax.__version__, jaxlib.__version__, *settings)
    name = f"glyphs-{image_size}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]}"
    images = kept(name, lambda: load_glyphs(CLASSES, DRAWINGS, image_size).images)
    return _as_set(images, CLASSES, DRAWINGS, "glyphs")


def _as_set(images: np.ndarray, classes: int, drawings: int, name: str) -> ImageSet:
    split = np.searchsorted(np.cumsum(SPLIT_FRACTIONS)[:2] * classes, np.arange(classes), side="right")
    return image_set(name, images, [drawings] * classes, [f"glyph{i:04d}" for i in range(classes)], split)


def draw_all(key: Array, classes: int, drawings: int, size: int) -> np.ndarray:
    """uint8 [classes, drawings, size, size]. What class i looks like depends on the key and i alone."""
    recipe_key, hand_key, drawing_key = jax.random.split(key, 3)
    hands = jax.vmap(draw_hand)(jax.random.split(hand_key, drawings))
    batches = np.arange(-(-classes // BATCH) * BATCH).reshape(-1, BATCH)
    drawn = [np.asarray(draw_classes(recipe_key, drawing_key, indices, hands, size)) for indices in batches]
    return np.concatenate(drawn)[:classes]


@functools.partial(jax.jit, static_argnames="size")
def draw_classes(recipe_key: Array, drawing_key: Array, indices: Array, hands: Hand, size: int) -> Array:
    """The classes `indices` [n] drawn once by each of `hands`: uint8 [n, drawings, size, size]."""
    recipes = jax.vmap(lambda i: draw_recipe(jax.random.fold_in(recipe_key, i)))(indices)
    keys = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(drawing_key, i), len(hands.pen)))(indices)
    by_all_hands = jax.vmap(functools.partial(draw, size=size), in_axes=(0, 0, None))
    return jnp.round(255 * jax.vmap(by_all_hands, in_axes=(0, None, 0))(keys, hands, recipes)).astype(jnp.uint8)


def draw_recipe(key: Array) -> Recipe:
    """A random character: up to STROKES pen paths, many of which begin on an earlier one."""
    uniform_key, normal_key = jax.random.split(key)
    uniform = jax.random.uniform(uniform_key, (STROKES, 6 + 2 * (KNOTS - 1)))
    normal = jax.random.normal(normal_key, (STROKES, 3 + KNOTS - 1))
    paths = jax.vmap(pen_path)(uniform[:, 4:], normal[:, 2:])
    gaps = jnp.where(uniform[:, 1:2] < 0.3, 0.5 * normal[:, :2], 0.0)
    knots = join(paths, (uniform[:, 2] * KNOTS).astype(jnp.int32), (uniform[:, 3] * KNOTS).astype(jnp.int32), gaps)
    count = jnp.searchsorted(jnp.cumsum(jnp.array(STROKE_COUNTS)), uniform[0, 0])
    present = (jnp.arange(STROKES) <= count).astype(jnp.float32)
    return Recipe(centre(knots, present), present)


def pen_path(uniform: Array, normal: Array) -> Array:
    """Knots [KNOTS, 2] of one stroke from the origin: a bow, a hook with sharp corners, or nearly a line.

    uniform [2 + 2 (KNOTS - 1)] and normal [1 + KNOTS - 1] are the random numbers it is made of.
    """
    kind, where, corner, side = uniform[0], uniform[1], *uniform[2:].reshape(2, KNOTS - 1)
    bow = 0.75 * normal[0] + 0.1 * normal[1:]
    hook = (corner < 0.3) * jnp.sign(side - 0.5) * (1.2 + 1.4 * jnp.abs(side - 0.5))
    turns = jnp.where(kind < 0.45, bow, jnp.where(kind < 0.8, hook, 0.1 * bow))
    eighth = jnp.floor(8 * where)  # upright, level and diagonal strokes are common
    heading = (eighth + 0.6 * (8 * where - eighth - 0.5)) * jnp.pi / 4
    angles = heading + jnp.cumsum(turns) - turns[0]
    steps = (0.25 + 0.3 * side[0]) * jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)
    return jnp.concatenate([jnp.zeros((1, 2)), jnp.cumsum(steps, axis=0)])


def join(paths: Array, leave: Array, meet: Array, gaps: Array) -> Array:
    """Moves each path [KNOTS, 2] so that its knot `meet` lies on knot `leave` of the path before, plus its gap."""
    placed = [paths[0]]
    for i in range(1, STROKES):
        hop = placed[-1][leave[i]] - paths[i, meet[i]] + gaps[i]
        placed.append(paths[i] + hop[None, :])
    return jnp.stack(placed)


def centre(knots: Array, present: Array) -> Array:
    """Moves the present strokes to the middle and scales them to fit [-1, 1], half way to filling it both ways."""
    seen = present[:, None, None] > 0
    low = jnp.min(jnp.where(seen, knots, jnp.inf), axis=(0, 1), keepdims=True)
    high = jnp.max(jnp.where(seen, knots, -jnp.inf), axis=(0, 1), keepdims=True)
    extent = jnp.maximum((high - low) / 2, 0.25)
    return (knots - (low + high) / 2) / jnp.sqrt(extent * jnp.max(extent))


def draw_hand(key: Array) -> Hand:
    """A random drawer."""
    slant, aspect, angle, pen, wobble = jax.random.normal(key, (5,))
    stretch = jnp.array([[jnp.exp(0.1 * aspect), 0.13 * slant], [0.0, jnp.exp(-0.1 * aspect)]])
    return Hand(_rotation(0.06 * angle) @ stretch, 0.043 * jnp.exp(0.08 * pen), jnp.exp(0.25 * wobble))


def draw(key: Array, hand: Hand, recipe: Recipe, size: int) -> Array:
    """One drawing of a character by a drawer: ink [size, size] in [0, 1]."""
    noise = jax.random.normal(key, (6 + STROKES * 2 * (KNOTS + 1),))
    of_knots = noise[6:].reshape(STROKES, KNOTS + 1, 2)
    knots = recipe.knots + hand.wobble * (0.045 * of_knots[:, 1:] + 0.06 * of_knots[:, :1])
    stretch = jnp.exp(0.14 * noise[0] + 0.08 * noise[1:3])
    path = (spline(knots) * stretch.reshape(1, 1, 2)) @ (_rotation(0.07 * noise[3]) @ hand.shape).T
    return render(0.68 * path + 0.1 * noise[4:6].reshape(1, 1, 2), recipe.present, hand.pen, size)


def spline(knots: Array) -> Array:
    """Quadratic B-spline [STROKES, POINTS, 2] of knots [STROKES, KNOTS, 2], from the first knot to the last."""
    padded = jnp.concatenate([knots[:, :1], knots, knots[:, -1:]], axis=1)
    time = jnp.linspace(0, KNOTS - 1e-4, POINTS)
    segment = time.astype(jnp.int32)
    t = (time - segment).reshape(1, POINTS, 1)
    before, here, after = (padded[:, segment + i] for i in range(3))
    return 0.5 * (1 - t) ** 2 * before + (0.5 + t * (1 - t)) * here + 0.5 * t**2 * after


def render(path: Array, present: Array, pen: Array, size: int) -> Array:
    """Ink [size, size] of a pen of width `pen` along path [STROKES, POINTS, 2] in [-1, 1], x right and y up.

    Every point leaves a Gaussian spot, so a drawing is one product of two [size, points] matrices; a steep curve
    turns the sum into strokes with an even width and a soft edge.
    """
    distance = jnp.linalg.norm(jnp.diff(path, axis=1, append=path[:, -1:]), axis=-1)
    weight = (present[:, None] * (distance + 0.1 * pen)).reshape(-1) / pen
    centres = (jnp.arange(size) + 0.5) * (2 / size) - 1
    x, y = path.reshape(-1, 2).T
    columns = jnp.exp(-0.5 * ((centres[:, None] - x[None, :]) / pen) ** 2)
    rows = jnp.exp(-0.5 * ((-centres[:, None] - y[None, :]) / pen) ** 2)
    spread = (rows * weight[None, :]) @ columns.T
    return jax.nn.sigmoid(5 * (spread - 1.0))


def _rotation(angle: Array) -> Array:
    return jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
