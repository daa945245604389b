"""Random changes of single images, and quarter turns. All off by default: the paper uses none."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from oplstm_jax.types import Array


class Augment(NamedTuple):
    """Which random changes each drawn image gets, support and query alike.

    flip: mirror left and right with probability one half.
    crop: pad by so many pixels (repeating the border) and cut the image out again at a random place; 0 is off.
    colour: brightness, contrast and saturation each change by a factor in [1 - colour, 1 + colour]; 0 is off.
    """

    flip: bool = False
    crop: int = 0
    colour: float = 0.0


def augment_image(key: Array, x: Array, augment: Augment) -> Array:
    """x [H, W, channels] in [0, 1], changed at random as `augment` says, in the same shape and range."""
    flip_key, crop_key, colour_key = jax.random.split(key, 3)
    if augment.flip:
        x = jnp.where(jax.random.bernoulli(flip_key), x[:, ::-1], x)
    if augment.crop:
        x = random_crop(crop_key, x, augment.crop)
    if augment.colour:
        x = jitter_colour(colour_key, x, augment.colour)
    return x


def random_crop(key: Array, x: Array, margin: int) -> Array:
    """x [H, W, channels] moved by up to `margin` pixels each way; border pixels fill the gap."""
    padded = jnp.pad(x, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    top, left = jax.random.randint(key, (2,), 0, 2 * margin + 1)
    return jax.lax.dynamic_slice(padded, (top, left, 0), x.shape)


def jitter_colour(key: Array, x: Array, strength: float) -> Array:
    """x [H, W, channels] with its brightness, contrast and saturation changed, clipped to [0, 1]."""
    brightness, contrast, saturation = jax.random.uniform(key, (3,), minval=1 - strength, maxval=1 + strength)
    x = x * brightness
    x = blend(jnp.mean(x, keepdims=True), x, contrast)
    x = blend(jnp.mean(x, axis=-1, keepdims=True), x, saturation)
    return jnp.clip(x, 0.0, 1.0)


def blend(base: Array, x: Array, factor: Array) -> Array:
    """base + factor (x - base): factor 1 leaves x, 0 gives the base."""
    return base + factor * (x - base)


def quarter_turns(images: Array, turns: Array) -> Array:
    """images [..., H, H, channels] turned counter-clockwise by `turns` (0 to 3, a scalar) quarter turns."""
    images = jnp.where(turns % 2 == 1, jnp.rot90(images, axes=(-3, -2)), images)
    return jnp.where(turns >= 2, images[..., ::-1, ::-1, :], images)
