"""Contact sheets: pictures of episodes, to see with one's own eyes what learners are given."""

from pathlib import Path

import jax
import numpy as np
from PIL import Image

from oplstm_jax.data.episodes import make_sampler
from oplstm_jax.data.images import ImageSet, split_classes
from oplstm_jax.files import atomic
from oplstm_jax.types import Episode

GAP = 4  # pixels between episodes and between support and query


def write_sheet(
    image_set: ImageSet, path: Path, split: str, way: int, shot: int, query: int, episodes: int, seed: int
) -> None:
    """Writes a PNG of `episodes` drawn from one split: a row per class, support left of the gap and query right.

    Raises ValueError where such episodes do not exist or the file cannot be written.
    """
    sampler = make_sampler(split_classes(image_set, split), way, shot, query)
    drawn = [jax.jit(sampler)(key) for key in jax.random.split(jax.random.key(seed), episodes)]
    sheet = _stack([_episode_picture(episode, way) for episode in drawn], axis=0)
    picture = Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)
    try:
        with atomic(path) as file:
            picture.save(file, format="PNG")
    except OSError as error:
        raise ValueError(f"{path}: cannot write picture ({error.strerror})") from error


def _episode_picture(episode: Episode, way: int) -> np.ndarray:
    """uint8 [rows, columns, channels]."""
    return _stack([_grid(np.asarray(split.x), way) for split in episode], axis=1)


def _grid(x: np.ndarray, way: int) -> np.ndarray:
    """x [N k, H, W, channels] as one picture of N rows and k columns."""
    size = x.shape[1:]
    grid = x.reshape(way, -1, *size).transpose(0, 2, 1, 3, 4).reshape(way * size[0], -1, size[2])
    return np.round(255 * grid).astype(np.uint8)


def _stack(pictures: list[np.ndarray], axis: int) -> np.ndarray:
    """Pictures beside (1) or below (0) each other, with grey gaps."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, 128, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis=axis)
