"""Few-shot classification episodes, drawn on the device from a `Pool`: key -> Episode.

Classes are drawn uniformly without replacement, then for each of them shot + query distinct images, uniformly. The
class at position n of the drawn order has label n, so labels say nothing about classes; examples stay ordered by label.
With `all_classes` a class keeps its label from episode to episode, its place among all classes of the pool.
"""

import functools
import numbers
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from oplstm_jax.data.augment import Augment, augment_image, quarter_turns
from oplstm_jax.data.images import Pool
from oplstm_jax.types import Array, Episode, Split

NO_AUGMENT = Augment()


def make_sampler(
    pool: Pool,
    way: int,
    shot: int,
    query: int,
    *,
    rotations: bool = False,
    augment: Augment = NO_AUGMENT,
    all_classes: bool = False,
) -> Callable[[Array], Episode]:
    """A function key -> Episode over `pool`, after checking that such episodes exist; arguments as `sample_episode`.

    The result is a `jax.tree_util.Partial`, a pytree that holds the pool, so it can itself be an argument of a jitted
    function and the images are then no constant of the compiled program.

    Raises ValueError for sizes below 1, more ways than classes, more images per class than the smallest class has,
    and options that the images do not allow.
    """
    _check_sizes(pool, way, shot, query, rotations)
    smallest = int(np.min(np.asarray(pool.counts)))
    if shot + query > smallest:
        raise ValueError(
            f"shot {shot} + query {query} = {shot + query} images per class, but the smallest class has {smallest}; "
            f"expected shot + query of at most {smallest}"
        )
    _check_augment(augment, pool.images.shape)
    sample = functools.partial(
        _sample, way=way, shot=shot, query=query, rotations=rotations, augment=augment, all_classes=all_classes
    )
    return jax.tree_util.Partial(sample, pool)


def sample_episode(
    key: Array,
    pool: Pool,
    way: int,
    shot: int,
    query: int,
    *,
    rotations: bool = False,
    augment: Augment = NO_AUGMENT,
    all_classes: bool = False,
) -> Episode:
    """One N-way k-shot task: support x [N k, H, W, channels] and y [N k, N], query x [N q, ...] and y [N q, N].

    key: a typed key. rotations: each class turned by 90, 180 and 270 degrees counts as three more classes.
    augment: random changes of every drawn image, none by default. Images are float32 in [0, 1], labels one-hot.
    all_classes: labels are one-hot over all classes of the pool (times four with rotations) instead of the task's N.

    Raises ValueError for sizes the shapes rule out; that every class holds shot + query images is for the caller to
    see to, or for `make_sampler`, which reads the counts.
    """
    _check_sizes(pool, way, shot, query, rotations)
    return _sample(pool, key, way, shot, query, rotations, augment, all_classes)


def _sample(
    pool: Pool, key: Array, way: int, shot: int, query: int, rotations: bool, augment: Augment, all_classes: bool
) -> Episode:
    class_key, image_key, augment_key = jax.random.split(key, 3)
    classes, most = pool.members.shape
    kinds = 4 * classes if rotations else classes
    drawn = draw_distinct(class_key, jnp.asarray(kinds), kinds, way)
    rows, turns = drawn % classes, drawn // classes
    positions = draw_distinct(image_key, pool.counts[rows], most, shot + query)
    images = pool.images[pool.members[rows[:, None], positions]]
    if rotations:
        images = jax.vmap(quarter_turns)(images, turns)
    x = images.astype(jnp.float32) / 255
    if augment != NO_AUGMENT:
        keys = jax.random.split(augment_key, x.shape[:2])
        x = jax.vmap(jax.vmap(functools.partial(augment_image, augment=augment)))(keys, x)
    labels = jax.nn.one_hot(drawn, kinds, dtype=x.dtype) if all_classes else jnp.eye(way, dtype=x.dtype)
    return Episode(_split(x[:, :shot], labels), _split(x[:, shot:], labels))


def draw_distinct(key: Array, counts: Array, limit: int, amount: int) -> Array:
    """`amount` distinct integers below each of `counts` [...] (all at most `limit`), in random order: [..., amount]."""
    scores = jax.random.uniform(key, (*counts.shape, limit), jnp.float32)
    allowed = jnp.arange(limit).reshape((1,) * counts.ndim + (limit,)) < counts[..., None]
    return jax.lax.top_k(jnp.where(allowed, scores, -1.0), amount)[1]


def _split(x: Array, labels: Array) -> Split:
    """x [N, k, ...] as N k examples, each with the label [C] of its class, a row of `labels` [N, C]."""
    way, shot = x.shape[:2]
    return Split(x.reshape(way * shot, *x.shape[2:]), jnp.repeat(labels, shot, axis=0))


def check_sizes(**sizes: int) -> None:
    """Raises ValueError for a size of an episode, given with its name, that is no integer of at least 1."""
    for name, size in sizes.items():
        try:
            valid = operator.index(size) >= 1
        except TypeError:
            valid = False
        if not valid:
            raise ValueError(f"{name} is {size!r}; expected an integer of at least 1")


def _check_sizes(pool: Pool, way: int, shot: int, query: int, rotations: bool) -> None:
    if not isinstance(pool, Pool):
        raise ValueError(f"pool is {type(pool).__name__}; expected a Pool, as split_classes(images, split) makes one")
    check_sizes(way=way, shot=shot, query=query)
    classes, most = pool.members.shape
    available = classes * (4 if rotations else 1)
    if way > available:
        turned = f" ({classes} classes in 4 rotations)" if rotations else ""
        raise ValueError(f"way is {way}, but this split has {available} classes{turned}; expected 1 to {available}")
    if shot + query > most:
        raise ValueError(
            f"shot {shot} + query {query} = {shot + query} images per class, but the largest class has {most}; "
            f"expected shot + query of at most {most}"
        )
    if rotations and pool.images.shape[1] != pool.images.shape[2]:
        raise ValueError(f"rotations need square images, these are {pool.images.shape[1]}x{pool.images.shape[2]}")


def _check_augment(augment: Augment, shape: tuple[int, ...]) -> None:
    size = min(shape[1:3])
    if not isinstance(augment.flip, (bool, np.bool_)):
        raise ValueError(f"augment.flip is {augment.flip!r}; expected True or False")
    if not isinstance(augment.crop, numbers.Integral) or not isinstance(augment.colour, numbers.Real):
        raise ValueError(f"augment is {augment}; expected crop in whole pixels and colour as a number")
    if not 0 <= augment.crop < size:
        raise ValueError(f"augment.crop is {augment.crop}; expected 0 to {size - 1} pixels")
    if not 0 <= augment.colour < 1:
        raise ValueError(f"augment.colour is {augment.colour}; expected a strength from 0 to below 1")
