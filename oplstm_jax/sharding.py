"""Tasks shared by several devices: each takes an equal share of a meta-batch, or of a list of tasks to be scored.

Meta-parameters, optimiser state and images lie whole on every device; gradients are summed over the axis `tasks`. What
is random belongs to a task and not to a device, so results do not depend on the number of devices, up to the order of
summation. With `jax.distributed` the devices of all processes count, and every process must do the same.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from oplstm_jax.types import Array

TASKS = "tasks"


def task_mesh(meta_batch: int, devices: Sequence[jax.Device] | None = None) -> Mesh | None:
    """A mesh with the one axis `tasks`: as many of the devices (all if not given) as share `meta_batch` evenly.

    None where that is one device. Raises ValueError if several processes take part and not all devices can.
    """
    devices = list(jax.devices() if devices is None else devices)
    used = max(count for count in range(1, len(devices) + 1) if meta_batch % count == 0)
    if jax.process_count() > 1 and used < (count := len(devices)):
        raise ValueError(f"meta_batch is {meta_batch}: expected a multiple of the devices of all processes, {count}")
    return Mesh(np.array(devices[:used]), (TASKS,)) if used > 1 else None


def on_every_device(work: Callable[..., Any], mesh: Mesh | None) -> Callable[..., Any]:
    """`work`, which may use the axis `tasks`, run by all devices of a mesh on the same arguments to the same result."""
    if mesh is None:
        return work
    everywhere = PartitionSpec()
    return jax.shard_map(work, mesh=mesh, in_specs=everywhere, out_specs=everywhere, check_vma=False)


def axis_of(mesh: Mesh | None) -> str | None:
    """The axis that tasks are shared along, None on one device."""
    return None if mesh is None else TASKS


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """The tree, whole on every device of a mesh."""
    if mesh is None:
        return tree
    everywhere = NamedSharding(mesh, PartitionSpec())

    def put(leaf):
        leaf = leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf)
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):  # JAX puts no keys on devices of other processes
            data = jax.device_put(jax.random.key_data(leaf), everywhere)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        return jax.device_put(leaf, everywhere)

    return jax.tree.map(put, tree)


def share(keys: Array, axis: str | None) -> Array:
    """Those of keys [B] that are this device's, [B / devices]. Raises ValueError if B is no multiple of the devices."""
    if axis is None:
        return keys
    count = jax.lax.axis_size(axis)
    if len(keys) % count:
        raise ValueError(f"{len(keys)} tasks: expected a multiple of the devices, {count}")
    return keys.reshape(count, -1, *keys.shape[1:])[jax.lax.axis_index(axis)]


def agreed(*flags: bool) -> list[bool]:
    """For each flag whether it is set in any process; the same answer in all of them."""
    if jax.process_count() == 1:
        return list(flags)
    return multihost_utils.process_allgather(np.array(flags)).any(axis=0).tolist()


def is_writer() -> bool:
    """Whether this process is the one that writes files."""
    return jax.process_index() == 0
