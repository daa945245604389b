"""Networks of the authors' PyTorch implementation: their names and layouts, and what becomes of them here.

Linear weights are [out, in] there and kernels [in, out] here, convolutions [out, in, h, w] and [h, w, in, out], and
features leave a convolutional network in the order (C, H, W) there and (H, W, C) here. Sizes follow from the arrays.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from oplstm_jax.nets.conv4 import Conv4
from oplstm_jax.nets.lstm import CellParams
from oplstm_jax.nets.mlp import MLP

Arrays = dict[str, np.ndarray]  # PyTorch name -> array
Tree = Callable[[Arrays], dict]  # the original's arrays (weights or gradients alike) -> our parameter tree
MLPS = {"sine_mlp": ("model.{}", 0), "omniglot_mlp": ("lin{}", 1), "omniglot_mlp_no_bn": ("lin{}", 1)}
CONV_BLOCK = "conv_block{}"


class Unsupported(ValueError):
    """The file describes a learner that this library does not build (yet)."""


class Network(NamedTuple):
    """A base-learner of ours, how the original's arrays become its parameters, and the number of its feature maps.

    maps is None for networks without feature maps: the order of their features is the same there and here.
    """

    net: nn.Module
    tree: Tree
    maps: int | None


def network(kind: str, arrays: Arrays, head: bool = True) -> Network:
    """The base-learner called `kind`, with the linear layer at its end or, for feature extractors, without.

    Its arrays may stand below any prefix. Raises `Unsupported` for an unknown kind, KeyError naming a missing array.
    """
    if kind == "conv4":
        return _conv4(arrays, head)
    if kind in MLPS:
        return _mlp(kind, arrays, head)
    raise Unsupported(f"base {kind!r}")


def _mlp(kind: str, arrays: Arrays, head: bool) -> Network:
    pattern, first = MLPS[kind]
    prefix = _prefix(arrays, f"{pattern.format(first)}.weight")
    layers = _count(arrays, prefix + pattern, first)
    norm = "transductive" if kind == "omniglot_mlp" else "none"
    widths = tuple(arrays[f"{prefix}{pattern.format(first + layer)}.weight"].shape[0] for layer in range(layers))
    outputs = arrays[f"{prefix}out.weight"].shape[0] if head else None

    def tree(a: Arrays) -> dict:
        params = {f"dense_{layer}": linear(a, prefix + pattern.format(first + layer)) for layer in range(layers)}
        if norm != "none":
            params |= {f"norm_{layer}": _norm(a, f"{prefix}bn{first + layer}") for layer in range(layers)}
        return {**params, "out": linear(a, f"{prefix}out")} if head else params

    return Network(MLP(widths, outputs, norm), tree, None)


def _conv4(arrays: Arrays, head: bool) -> Network:
    prefix = _prefix(arrays, f"{CONV_BLOCK.format(0)}.cl.weight")
    block = prefix + CONV_BLOCK
    blocks = _count(arrays, block + ".cl", 0)
    filters = arrays[f"{block.format(0)}.cl.weight"].shape[0]
    norm = "transductive" if f"{block.format(0)}.bn.weight" in arrays else "none"
    out = prefix.removesuffix("features.") + "out"
    outputs = arrays[f"{out}.weight"].shape[0] if head else None

    def tree(a: Arrays) -> dict:
        params = {f"conv_{i}": _convolution(a, f"{block.format(i)}.cl") for i in range(blocks)}
        if norm != "none":
            params |= {f"norm_{i}": _norm(a, f"{block.format(i)}.bn") for i in range(blocks)}
        return {**params, "out": linear(a, out, filters)} if head else params

    return Network(Conv4(filters, outputs, norm, blocks), tree, filters)


def _prefix(arrays: Arrays, name: str) -> str:
    """What stands before `name` in the one array's name that ends with it."""
    found = [full for full in arrays if full == name or full.endswith(f".{name}")]
    if not found:
        raise KeyError(name)
    return found[0].removesuffix(name)


def _count(arrays: Arrays, pattern: str, first: int) -> int:
    """How many layers named `pattern`, numbered from `first`, there are."""
    count = 0
    while f"{pattern.format(first + count)}.weight" in arrays:
        count += 1
    return count


def _convolution(arrays: Arrays, name: str) -> dict:
    return {"kernel": torch_kernel(arrays[f"{name}.weight"]), "bias": arrays[f"{name}.bias"]}


def torch_kernel(weight: np.ndarray) -> np.ndarray:
    """A convolution weight [out, in, h, w] as our kernel [h, w, in, out]; also for fewer or no spatial dimensions."""
    return weight.transpose(*range(2, weight.ndim), 1, 0)


def sap_transforms(transforms: Iterator[np.ndarray], strengths: Iterator[np.ndarray], blocks: int) -> dict:
    """The transforms and strengths of SAP, which the original keeps in two lists, by the names of `SapConv4`."""
    tree = {}
    for block in ("input", *range(blocks)):
        tree[f"map_{block}"] = part = _sap_kernels(transforms)
        part["conv_strengths"] = next(strengths)
        if block != "input":
            pair, out = torch_kernel(next(transforms)), next(transforms)
            tree[f"scale_{block}"] = {"pair_scale": pair.reshape(pair.shape[-2:]), "out_scale": out}
            tree[f"scale_{block}"]["strengths"] = next(strengths)
        part |= {"scalar": next(transforms), "vector": next(transforms), "bias_strengths": next(strengths)}
    return {**tree, "logits": {"matrix": next(transforms), "shift": next(transforms), "strength": next(strengths)}}


def _sap_kernels(transforms: Iterator[np.ndarray]) -> dict:
    point, full, u, s, v = (torch_kernel(next(transforms)) for _ in range(5))
    return {"point": point[0, 0], "full": full, "u": u[:, 0], "s": s[0], "v": v[:, 0]}


def _norm(arrays: Arrays, name: str) -> dict:
    return {"scale": arrays[f"{name}.weight"], "shift": arrays[f"{name}.bias"]}


def linear(arrays: Arrays, name: str, maps: int | None = None) -> dict:
    """A linear layer, `maps` as for `channels_last`."""
    return {"kernel": channels_last(arrays[f"{name}.weight"], maps).T, "bias": arrays[f"{name}.bias"]}


def channels_last(weight: np.ndarray, maps: int | None, features: int | None = None) -> np.ndarray:
    """Reorders the first columns of weight [rows, features + others] from (C, H, W) to (H, W, C) where C = maps."""
    if maps is None:
        return weight
    features = weight.shape[1] if features is None else features
    read = weight[:, :features].reshape(len(weight), maps, -1).swapaxes(1, 2).reshape(len(weight), -1)
    return np.concatenate((read, weight[:, features:]), axis=1)


def stack(arrays: Arrays) -> tuple[CellParams, ...]:
    """LSTM cells in order, from one of several layers (`lstm.*_l0`, ..) or a list of cells (`lstms.0.*_l0`, ..)."""
    cells: list[CellParams] = []
    while True:
        number = len(cells)
        listed, stacked = f"lstms.{number}.{{}}_l0", f"lstm.{{}}_l{number}"
        name = listed if listed.format("weight_ih") in arrays else stacked
        if name.format("weight_ih") not in arrays:
            return tuple(cells)
        parts: Any = (arrays[name.format(w)] for w in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        cells.append(CellParams(*parts))


def sizes(arrays: Arrays) -> tuple[int, ...]:
    """Hidden units of the cells of `stack`."""
    return tuple(cell.w_hh.shape[1] for cell in stack(arrays))
