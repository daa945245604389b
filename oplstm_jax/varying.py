"""What varies over the devices inside `jax.shard_map`, whose checks want the arrays of a computation to vary alike.

Parameters are the same on all devices and tasks are not. A gradient with respect to what is the same would be summed
over the devices, an inner step's too; and a scan refuses to begin with zeros, which are the same, and go on with what
is not.
"""

from typing import TypeVar

import jax

from oplstm_jax.types import Array

Tree = TypeVar("Tree")


def alike(tree: Tree, *others) -> Tree:
    """The tree with all its arrays varying over every axis of devices that it or the others vary over.

    Outside `jax.shard_map`, and with its `check_vma=False`, the tree itself.
    """
    axes = {axis for leaf in jax.tree.leaves((tree, others)) for axis in _axes(leaf)}
    if not axes:
        return tree
    return jax.tree.map(lambda leaf: jax.lax.pcast(leaf, tuple(sorted(axes - _axes(leaf))), to="varying"), tree)


def _axes(leaf: Array) -> frozenset[str]:
    """The axes that an array varies over; releases of JAX keep them in different places."""
    kind = jax.typeof(leaf)
    return frozenset(getattr(getattr(kind, "manual_axis_type", kind), "varying", getattr(kind, "vma", ())))
