"""Data sets of image files: a folder a class, or the folders train, val and test of them."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from edgecnn.data.parts import make_dataset
from edgecnn.data.samples import Dataset, PartName, Samples
from edgecnn.data.targets import ClassIds, class_ids_of
from edgecnn.errors import DatasetError
from edgecnn_runtime.images import IMAGE_SUFFIXES
from edgecnn_runtime.sources import SYSTEM_FOLDERS

PART_NAMES: Mapping[str, PartName] = {  # of folders, in any letter case
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# What systems leave in folders, in lower case; names that begin with a dot are left out besides.
_OF_SYSTEMS = SYSTEM_FOLDERS | {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_DEEPEST = 3  # folders below the one that was named, where one is looked for that would do


def read_folders(path: Path) -> Dataset:
    """Reads a data set of image files; they are decoded later, one by one.

    Args:
        path: holds one folder a class, or the folders train, val (valid, validation) and test, in any letter case and
            any of them missing, with one folder a class each. The names of the class folders, sorted, are the labels.
            Files beside the folders do not count, nor what begins with a dot or is a system's own (Thumbs.db,
            desktop.ini, @eaDir, __MACOSX).

    Raises:
        DatasetError: no such folders; a class without images; anything but images in a class; classes in classes.
    """
    if not os.path.isdir(path):  # noqa: PTH112  (Path raises on a long name)
        raise DatasetError(
            f"{path}: expected a folder of classes, received {'a file' if os.path.exists(path) else 'nothing'}"  # noqa: PTH110
        )
    parts = _read_parts(path) if _has_parts(path) else [_read_part(path, "all")]
    return make_dataset(path.absolute().name, str(path.absolute()), parts)


def holds_classes(path: Path) -> bool:
    """Says whether a folder looks like a folder a class, or like the parts of them."""
    return _has_parts(path) or any(_images(folder) for folder in _folders(path))


def below(path: Path) -> list[Path]:
    """Returns the folders further down that hold classes, nearest first: what the user may have meant."""
    level = _folders(path)
    for _ in range(_DEEPEST):
        found = [folder for folder in level if holds_classes(folder)]
        if found:
            return found
        level = [deeper for folder in level for deeper in _folders(folder)]
    return []


def _has_parts(path: Path) -> bool:
    return any(
        folder.name.lower() in PART_NAMES and not _images(folder) and any(_images(inner) for inner in _folders(folder))
        for folder in _folders(path)
    )


def _read_parts(path: Path) -> list[Samples]:
    folders: dict[PartName, Path] = {}
    for folder in _folders(path):
        part = PART_NAMES.get(folder.name.lower())
        if part is None:
            raise DatasetError(
                f"{folder}: expected nothing but the folders train, val and test beside "
                f"{' and '.join(f.name for f in _folders(path) if f.name.lower() in PART_NAMES)}. Move it out, or into "
                "one of them if it is a class."
            )
        if part in folders:
            raise DatasetError(f"{path}: expected one {part} part, received {folders[part].name} and {folder.name}")
        folders[part] = folder
    parts = {part: _read_part(folder, part) for part, folder in folders.items()}
    if "train" not in parts:
        return list(_with_equal_labels(parts, folders))
    train = parts.pop("train")
    return [train, *(_with_labels_of(train, part, folders[name]) for name, part in parts.items())]


def _read_part(path: Path, part: str) -> Samples:
    folders = _folders(path)
    if len(folders) < 2:
        loose = len(_images(path))
        beside = f" and {loose} images, whose class nothing says" if loose else ""
        raise DatasetError(
            f"{path}: expected at least 2 folders, one a class, received {[f.name for f in folders]}{beside}"
        )
    images = [_class_images(folder) for folder in folders]
    class_ids = np.repeat(np.arange(len(folders)), [len(paths) for paths in images])
    return Samples(
        tuple(p for paths in images for p in paths), ClassIds(class_ids), tuple(f.name for f in folders), part
    )


def _class_images(folder: Path) -> list[Path]:
    images = _images(folder)
    others = sorted(set(_visible(folder)) - set(images))
    nested = [entry for entry in others if entry.is_dir() and _images(entry)]
    if nested:
        more = f" (and {len(nested) - 1} more)" if len(nested) > 1 else ""
        raise DatasetError(
            f"{nested[0]}{more}: expected the images of a class in its own folder, received a folder of images in "
            f"{folder.name}. Move the images up if they are of the class {folder.name!r}, or the folders if each is a "
            "class of its own."
        )
    if not images:
        raise DatasetError(
            f"{folder}: expected images of this class ({', '.join(IMAGE_SUFFIXES)}), received none. Add some, or "
            "remove the folder."
        )
    if others:
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        raise DatasetError(
            f"{others[0]}{more}: expected nothing but images ({', '.join(IMAGE_SUFFIXES)}) in the folder of a class. "
            "Move it out."
        )
    if not folder.name.isprintable():
        raise DatasetError(f"{str(folder)!r}: expected a folder name of printable characters: it is the label")
    return images


def _with_labels_of(train: Samples, samples: Samples, folder: Path) -> Samples:
    """Counts the classes of a part as train does."""
    unknown = sorted(set(samples.labels) - set(train.labels))
    if unknown:
        raise DatasetError(
            f"{folder / unknown[0]}: expected the classes of train, which are {list(train.labels)}. Add the class to "
            "train, or move it out."
        )
    class_ids = np.array([train.labels.index(label) for label in samples.labels])[class_ids_of(samples.targets)]
    return Samples(samples.sources, ClassIds(class_ids), train.labels, samples.part)


def _with_equal_labels(parts: Mapping[PartName, Samples], folders: Mapping[PartName, Path]) -> Iterable[Samples]:
    """Gives parts without a train part, which must have the same classes."""
    first, *others = parts.values()
    yield first
    for part in others:
        if part.labels != first.labels:
            name = sorted(set(first.labels) ^ set(part.labels))[0]
            raise DatasetError(
                f"{folders['test'].parent}: expected equal classes in each part, received {name!r} in one"
            )
        yield part


def _folders(path: Path) -> list[Path]:
    return [entry for entry in _visible(path) if entry.is_dir()]


def _images(path: Path) -> list[Path]:
    return [entry for entry in _visible(path) if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]


def _visible(path: Path) -> list[Path]:
    try:
        return sorted(
            entry
            for entry in path.iterdir()
            if not entry.name.startswith(".") and entry.name.lower() not in _OF_SYSTEMS
        )
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
