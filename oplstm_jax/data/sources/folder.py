"""Any folder of images: FOLDER/class/image.jpg, or FOLDER/{train,val,test}/class/image.jpg with the class split."""

from pathlib import Path

from oplstm_jax.data import class_splits
from oplstm_jax.data.images import SPLITS, ImageSet
from oplstm_jax.data.sources.build import Form, build_set, image_paths, path_file, subfolders


def load_folder(
    path: str | Path,
    image_size: int = 84,
    channels: int = 3,
    *,
    invert: bool = False,
    split_file: str | Path | None = None,
    seed: int = 0,
) -> ImageSet:
    """Every sub-folder with images is a class, in order of name.

    The class split is that of folders called train, val (or validation) and test one level up, else that of
    `split_file` (csv with columns class,split), else drawn by `seed`: 64 % train, 16 % validation, 20 % test.
    invert: for dark drawings on white, which the learners of Omniglot or glyphs expect bright on black.

    Raises ValueError for folders without classes, classes without images, and files that are no images.
    """
    path = Path(path)
    folders, split = find_classes(path)
    if split_file is not None:
        split = class_splits.read_file(split_file)
    elif not split:
        split = class_splits.drawn(list(folders), seed)
    files = {name: [path_file(image) for image in class_images(folder)] for name, folder in folders.items()}
    return build_set(path.resolve().name, files, split, Form(image_size, channels, invert))


def find_classes(path: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Class name -> folder, and class name -> split where train, val and test folders say it (else empty).

    Raises ValueError for a folder without sub-folders, and for a class that lies in two splits.
    """
    folders = subfolders(path)
    if not folders:
        raise ValueError(f"{path}: no sub-folders; expected one folder of images per class")
    sides = {folder: class_splits.ALIASES.get(folder.name.lower(), folder.name.lower()) for folder in folders}
    if not set(sides.values()) <= set(SPLITS) or any(image_paths(folder) for folder in folders):
        return {folder.name: folder for folder in folders}, {}
    classes: dict[str, Path] = {}
    split: dict[str, str] = {}
    for folder, side in sides.items():
        for class_folder in subfolders(folder):
            if class_folder.name in classes:
                raise ValueError(f"{path}: class {class_folder.name!r} is in {split[class_folder.name]} and in {side}")
            classes[class_folder.name], split[class_folder.name] = class_folder, side
    if not classes:
        raise ValueError(f"{path}: no class folders in {', '.join(folder.name for folder in folders)}")
    return classes, split


def class_images(folder: Path) -> list[Path]:
    """The images of one class. Raises ValueError if there are none."""
    images = image_paths(folder)
    if not images:
        raise ValueError(f"{folder}: class folder has no images; expected files such as image.jpg or image.png")
    return images
