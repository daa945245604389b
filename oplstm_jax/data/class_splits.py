"""Which classes are for training, validation and testing: the published lists, a user's file, or a seeded draw.

The lists in `splits/` are Vinyals et al. (2016) for Omniglot, Ravi and Larochelle (2017) for miniImageNet, and for
CUB-200-2011 the rule of Chen et al. (2019) by class index i: i % 2 == 0 trains, i % 4 == 1 validates, i % 4 == 3 tests.
"""

import csv
import functools
import importlib.resources
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from oplstm_jax.data.images import SPLITS

PUBLISHED = ("omniglot", "cub", "miniimagenet")
FRACTIONS = (0.64, 0.16, 0.2)  # as miniImageNet divides its 100 classes
ALIASES = {"val": "validation", "valid": "validation", "base": "train", "novel": "test"}


@functools.cache
def published(name: str) -> dict[str, str]:
    """Class name -> split of a published data set, in the order its classes have in an `ImageSet`."""
    if name not in PUBLISHED:
        raise ValueError(f"no published split for {name!r}; there is one for {', '.join(PUBLISHED)}")
    text = importlib.resources.files("oplstm_jax.data").joinpath("splits", f"{name}.csv").read_text()
    return _parse(text.splitlines(), f"split of {name}")


def read_file(path: str | Path) -> dict[str, str]:
    """A user's class split, class name -> split: a csv file with the columns class and split.

    Raises ValueError for a file that cannot be read, without these columns, or with an unknown or second split.
    """
    try:
        return _parse(Path(path).read_text(encoding="utf-8").splitlines(), str(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot read class split ({error}); expected csv with columns class,split") from error


def drawn(class_names: Sequence[str], seed: int) -> dict[str, str]:
    """A random class split by `seed`: `FRACTIONS` of the classes train, validate and test (rounded; the rest train)."""
    names = np.random.default_rng(seed).permutation(sorted(class_names)).tolist()
    validation, test = (round(fraction * len(names)) for fraction in FRACTIONS[1:])
    sides = ["validation"] * validation + ["test"] * test
    return dict(zip(names, sides + ["train"] * (len(names) - len(sides)), strict=True))


def indices(class_names: Iterable[str], split: Mapping[str, str], source: str) -> np.ndarray:
    """int8 [classes], the index into `SPLITS` of every class. Raises ValueError for a class that `split` lacks."""
    names = list(class_names)
    missing = [name for name in names if name not in split]
    if missing:
        raise ValueError(f"{source}: no split given for class {missing[0]!r} ({len(missing)} such classes)")
    return np.array([SPLITS.index(split[name]) for name in names], np.int8)


def standard_name(split: str, source: str) -> str:
    """"val", "base" and the like as one of `SPLITS`. Raises ValueError for what is none of them."""
    name = ALIASES.get(split.strip().lower(), split.strip().lower())
    if name not in SPLITS:
        raise ValueError(f"{source}: split is {split!r}; expected one of {', '.join((*SPLITS, *ALIASES))}")
    return name


def _parse(lines: Sequence[str], source: str) -> dict[str, str]:
    rows = csv.DictReader(lines)
    if not {"class", "split"} <= set(rows.fieldnames or ()):
        raise ValueError(f"{source}: columns are {', '.join(rows.fieldnames or ['none'])}; expected class and split")
    split: dict[str, str] = {}
    for row in rows:
        side = standard_name(row["split"] or "", source)
        if split.setdefault(row["class"], side) != side:
            raise ValueError(f"{source}: class {row['class']!r} is in two splits, {split[row['class']]} and {side}")
    return split
