"""Data sets of image files: a folder a class, or `train/` and `test/` of them."""

from pathlib import Path

import numpy as np

from edgecnn.data.fingerprint import fingerprint
from edgecnn.data.samples import Dataset, Samples
from edgecnn.data.split import split_off_test
from edgecnn.errors import DatasetError
from edgecnn_runtime.images import IMAGE_SUFFIXES


def read_folders(path: Path) -> Dataset:
    """Reads a data set of image files; they are decoded later, one by one.

    Args:
        path: holds one folder a class, or `train/` with one folder a class, and `test/` likewise (or none: then a
            seeded fifth of each class is the test part). The folders' names, sorted, are the labels. Files whose name
            begins with a dot, and files beside the folders, do not count.

    Raises:
        DatasetError: no such folders; a class without images; anything but images in a class.
    """
    if not path.is_dir():
        raise DatasetError(f"{path}: expected a folder of classes, received {'a file' if path.exists() else 'nothing'}")
    parts = _read_parts(path) if _has_parts(path) else split_off_test(_read_part(path, "train"))
    return Dataset(path.absolute().name, str(path.absolute()), *parts, fingerprint(*parts))


def holds_classes(path: Path) -> bool:
    """Says whether a folder looks like a folder a class, or like `train/` and `test/` of them."""
    return _has_parts(path) or any(_images(folder) for folder in _folders(path))


def _has_parts(path: Path) -> bool:
    train = path / "train"
    return train.is_dir() and not _images(train) and any(_images(folder) for folder in _folders(train))


def _read_parts(path: Path) -> tuple[Samples, Samples]:
    names = [folder.name for folder in _folders(path)]
    if names not in (["train"], ["test", "train"]):
        raise DatasetError(f"{path}: expected the folders train/ and test/ and no other, received {names}")
    train = _read_part(path / "train", "train")
    if names == ["train"]:
        return split_off_test(train)
    return train, _with_labels_of(train, _read_part(path / "test", "test"), path)


def _read_part(path: Path, part: str) -> Samples:
    folders = _folders(path)
    if len(folders) < 2:
        raise DatasetError(f"{path}: expected at least 2 folders, one a class, received {[f.name for f in folders]}")
    images = [_class_images(folder) for folder in folders]
    class_ids = np.repeat(np.arange(len(folders)), [len(paths) for paths in images])
    return Samples(tuple(p for paths in images for p in paths), class_ids, tuple(f.name for f in folders), part)


def _class_images(folder: Path) -> list[Path]:
    images = _images(folder)
    if not images:
        raise DatasetError(f"{folder}: expected images of this class ({', '.join(IMAGE_SUFFIXES)}), received none")
    others = sorted(set(_visible(folder)) - set(images))
    if others:
        raise DatasetError(
            f"{others[0]}: expected nothing but images ({', '.join(IMAGE_SUFFIXES)}) in the folder of a class. "
            "Move it out."
        )
    if not folder.name.isprintable():
        raise DatasetError(f"{str(folder)!r}: expected a folder name of printable characters: it is the label")
    return images


def _with_labels_of(train: Samples, test: Samples, path: Path) -> Samples:
    unknown = sorted(set(test.labels) - set(train.labels))
    if unknown:
        raise DatasetError(
            f"{path / 'test' / unknown[0]}: expected the classes of train/, which are {list(train.labels)}"
        )
    class_ids = np.array([train.labels.index(label) for label in test.labels])[test.class_ids]
    return Samples(test.sources, class_ids, train.labels, "test")


def _folders(path: Path) -> list[Path]:
    return [entry for entry in _visible(path) if entry.is_dir()]


def _images(path: Path) -> list[Path]:
    return [entry for entry in _visible(path) if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]


def _visible(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
