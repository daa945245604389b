"""Prepares data sets, shows what they hold, and packs parts of them for other machines.

    python -m oplstm_jax.data prepare omniglot                          downloads, where that is possible
    python -m oplstm_jax.data prepare miniimagenet --from FOLDER        files that were got by hand
    python -m oplstm_jax.data prepare mine --from FOLDER --image-size 28 --channels 1 --invert
    python -m oplstm_jax.data show glyphs --way 8 --episodes 2          counts, and a picture: glyphs.png
    python -m oplstm_jax.data pack omniglot part.npz --per-split 64 16 20   some classes of a set
"""

import argparse
import functools
import glob
import sys
from pathlib import Path

import numpy as np

from oplstm_jax.data.cache import is_prepared, write_pack
from oplstm_jax.data.images import SPLITS, ImageSet, select_classes
from oplstm_jax.data.prepare import prepare
from oplstm_jax.data.show import write_sheet
from oplstm_jax.data.sources import load
from oplstm_jax.files import check_writable
from oplstm_jax.parser import Parser


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, or 2 with one line on standard error for bad input."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, MemoryError) as error:
        print(f"error: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def run_prepare(options: argparse.Namespace) -> None:
    """Prepares a data set and says what it holds and where it lies."""
    before = is_prepared(options.name)
    own = {"channels": options.channels, "invert": options.invert, "split_file": options.split_file}
    loaded, path = prepare(options.name, options.source, options.image_size, **own)
    replaced = " (in place of the set of this name that was there)" if before else ""
    print(loaded.describe(), f"prepared: {path}{replaced}", sep="\n")


def run_show(options: argparse.Namespace) -> None:
    """Prints what a data set holds and writes a contact sheet of episodes."""
    loaded = load(options.name, options.image_size)
    path = options.out or Path(f"{loaded.name}.png")
    write_sheet(loaded, path, options.split, options.way, options.shot, options.query, options.episodes, options.seed)
    print(loaded.describe(), f"contact sheet: {path}", sep="\n")


def run_pack(options: argparse.Namespace) -> None:
    """Writes the chosen classes of a data set as an .npz pack, which holds all that a run on them needs."""
    if options.file.suffix != ".npz":
        raise ValueError(f"{options.file}: expected a file name that ends in .npz")
    check_writable(options.file)
    loaded = load(options.name, options.image_size)
    if options.classes:
        loaded = select_classes(loaded, options.classes)
    if options.per_split:
        loaded = _first_classes(loaded, options.per_split)
    write_pack(options.file, loaded)
    print(loaded.describe(), f"packed: {options.file}, {options.file.stat().st_size / 2**20:.1f} MiB", sep="\n")


def _first_classes(loaded: ImageSet, numbers: list[int]) -> ImageSet:
    """The set with only so many classes of each split. Raises ValueError for more than it has."""
    names: list[str] = []
    for index, (split, wanted) in enumerate(zip(SPLITS, numbers, strict=True)):
        classes = np.flatnonzero(loaded.class_split == index)
        if wanted > len(classes):
            raise ValueError(f"{loaded.name} has {len(classes)} {split} classes, not {wanted}")
        names += [glob.escape(loaded.class_names[i]) for i in classes[:wanted]]
    return select_classes(loaded, names)


def _parser() -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m oplstm_jax.data", description=__doc__, formatter_class=style)
    commands = parser.add_subparsers(required=True, metavar="prepare|show|pack", parser_class=Parser)
    what = "decode a data set once and keep it in the cache directory"
    command = commands.add_parser("prepare", help=what, description=what)
    command.add_argument("name", help="omniglot, cub, miniimagenet, or any name for images of your own")
    command.add_argument("--from", dest="source", help=".npz pack, folder, archive, or tfds[:DATA_DIR]; else download")
    command.set_defaults(run=run_prepare)
    command.add_argument("--image-size", type=_positive, help="pixels square (omniglot 28, others 84)")
    command.add_argument("--channels", type=int, choices=(1, 3), default=3, help="of a folder of your own (3)")
    command.add_argument("--invert", action="store_true", help="a folder of dark drawings on white: make ink bright")
    command.add_argument("--split-file", type=Path, help="csv with columns class,split for a folder of your own")
    what = "print counts and write a contact sheet of episodes"
    command = commands.add_parser("show", help=what, description=what)
    command.add_argument("name", help="glyphs, a prepared name, an .npz pack or a folder")
    command.add_argument("--image-size", type=_positive, help="pixels square, of a pack or folder")
    command.add_argument("--split", default="train", choices=(*SPLITS, "all"), help="whose classes are drawn (train)")
    sizes = (("way", 5, "classes"), ("shot", 1, "support images of each"), ("query", 10, "query images of each"))
    for name, default, of_what in (*sizes, ("episodes", 4, "tasks in the picture")):
        command.add_argument(f"--{name}", type=_positive, default=default, help=f"{of_what} ({default})")
    command.add_argument("--seed", type=_seed, default=0, help="of the episodes (0)")
    command.add_argument("--out", type=Path, help="the picture (NAME.png)")
    command.set_defaults(run=run_show)
    what = "write some classes of a data set as an .npz pack"
    command = commands.add_parser("pack", help=what, description=what)
    command.add_argument("name", help="a prepared name, an .npz pack or a folder")
    command.add_argument("file", type=Path, help="the pack")
    command.add_argument("--image-size", type=_positive, help="pixels square, of a pack or folder")
    command.add_argument("--classes", nargs="+", metavar="PATTERN", help='names or shell patterns, such as "Latin/*"')
    numbers = [name.upper() for name in SPLITS]
    command.add_argument("--per-split", nargs=3, type=_positive, metavar=tuple(numbers), help="only the first so many")
    command.set_defaults(run=run_pack)
    return parser


def _whole(text: str, least: int, most: int) -> int:
    value = int(text) if text.isdecimal() else least - 1
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
    return value


_positive = functools.partial(_whole, least=1, most=4096)
_seed = functools.partial(_whole, least=0, most=2**31 - 1)


if __name__ == "__main__":
    sys.exit(main())
