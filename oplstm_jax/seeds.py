"""Several runs that differ in their seed as one program: trees of S runs have a leading dimension S, of one none."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp


def over_seeds(function: Callable[..., Any], count: int, in_axes: tuple[int | None, ...]) -> Callable[..., Any]:
    """A function of one run as one of `count` runs."""
    return function if count == 1 else jax.vmap(function, in_axes)


def stack(trees: Sequence[Any]) -> Any:
    """Trees of one run each as one tree of them all."""
    return trees[0] if len(trees) == 1 else jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def unstack(tree: Any, count: int) -> list[Any]:
    """A tree of `count` runs as a tree of each."""
    return [tree] if count == 1 else [jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(count)]
