"""Where tasks come from: sine waves, and episodes of images from built-in glyphs, prepared sets, packs and folders."""

from oplstm_jax.data.augment import Augment
from oplstm_jax.data.episodes import make_sampler, sample_episode
from oplstm_jax.data.images import SPLITS, ImageSet, Pool, image_set, select_classes, split_classes
from oplstm_jax.data.sources import load

__all__ = [
    "SPLITS",
    "Augment",
    "ImageSet",
    "Pool",
    "image_set",
    "load",
    "make_sampler",
    "sample_episode",
    "select_classes",
    "split_classes",
]
