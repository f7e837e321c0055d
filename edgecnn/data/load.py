"""From what the user typed to a data set."""

import difflib
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edgecnn.data.digits import read_digits
from edgecnn.data.folders import below, holds_classes, read_folders
from edgecnn.data.keras_datasets import LABELS as KERAS_DATASETS
from edgecnn.data.keras_datasets import read_keras_dataset
from edgecnn.data.npz import read_npz
from edgecnn.data.samples import Dataset
from edgecnn.data.tfds import read_tfds
from edgecnn.errors import DatasetError, UnknownDatasetError

NAMES = ("digits", *KERAS_DATASETS)
_PATH_READERS: dict[str, Callable[[Path], Dataset]] = {"npz": read_npz, "folder": read_folders}
_LOOKED_FOR = "an .npz file with x_train and y_train; a folder a class; train/, val/ and test/ with a folder a class"

_SHOWN = 3

logger = logging.getLogger(__name__)


def load_dataset(name_or_path: str) -> Dataset:
    """Reads a data set.

    Args:
        name_or_path: "digits", "mnist", "fashion_mnist" or "cifar10"; "tfds:NAME" of TensorFlow Datasets; or a path,
            recognised by what it holds: an `.npz` file or a folder a class; or "npz:PATH", "folder:PATH", which force
            one. A name wins over a path: write "./mnist" for a folder of that name.

    Returns:
        All parts. Where there is neither test nor val, a fifth of each class becomes the test part, always the same.

    Raises:
        UnknownDatasetError: no such name and no such path, or a path that holds nothing that is known.
        DatasetError: the data are damaged or not of the form that they should have.
        MissingDependencyError: a package that reads them is not installed.

    Example:
        >>> dataset = load_dataset("digits")
        >>> dataset.labels, len(dataset.train), len(dataset.test)
        (('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'), 1438, 359)
    """
    dataset = _reader(name_or_path)()
    logger.info(
        "data %s: %d classes, %s, fingerprint %s",
        *(dataset.name, len(dataset.labels)),
        *(", ".join(f"{part.part} {len(part)} images" for part in dataset.parts), dataset.fingerprint[:12]),
    )
    return dataset


def check_data(name_or_path: str) -> None:
    """Refuses what `load_dataset` would not know or find, without reading it.

    Args:
        name_or_path: as for `load_dataset`.

    Raises:
        UnknownDatasetError: as for `load_dataset`.
        DatasetError: a path that was forced is missing, or one cannot be read.
    """
    read = _reader(name_or_path)
    kind, _, path = name_or_path.partition(":")
    if path and kind in _PATH_READERS and path_of(name_or_path) is None:
        read()  # which says what is missing


def needs_tensorflow(name_or_path: str) -> bool:
    """Says whether data of that name are read by Keras or TensorFlow Datasets.

    >>> needs_tensorflow("mnist"), needs_tensorflow("tfds:tf_flowers"), needs_tensorflow("digits")
    (True, True, False)
    """
    return name_or_path in KERAS_DATASETS or name_or_path.startswith("tfds:")


def path_of(name_or_path: str) -> Path | None:
    """Returns the path that `load_dataset` would read; None for a data set's name, and for what does not exist.

    >>> path_of("digits"), path_of("npz:."), path_of("no such thing")
    (None, PosixPath('.'), None)
    """
    kind, _, rest = name_or_path.partition(":")
    if name_or_path in NAMES or kind == "tfds":
        return None
    path = Path(rest if rest and kind in _PATH_READERS else name_or_path)
    return path if os.path.exists(path) else None  # noqa: PTH110  (of a name too long, it says no)


def _reader(name_or_path: str) -> Callable[[], Dataset]:
    """Returns what reads the data, once they are recognised."""
    if name_or_path == "digits":
        return read_digits
    if name_or_path in KERAS_DATASETS:
        return partial(read_keras_dataset, name_or_path)
    kind, _, path = name_or_path.partition(":")
    if path and kind == "tfds":
        return partial(read_tfds, path)
    if path and kind in _PATH_READERS:
        return partial(_read_forced, kind, Path(path))
    return _reader_of(Path(name_or_path))


def _read_forced(kind: str, path: Path) -> Dataset:
    try:
        return _PATH_READERS[kind](path)
    except (OSError, ValueError) as error:  # a name too long, a null character
        raise UnknownDatasetError(f"{str(path)!r}: cannot be read as data: {error}") from error


def _reader_of(path: Path) -> Callable[[], Dataset]:
    try:
        if path.is_file() and (path.suffix == ".npz" or _is_zip(path)):
            return partial(read_npz, path)
        if path.is_dir() and holds_classes(path):
            return partial(read_folders, path)
        exists, deeper = path.exists(), below(path) if path.is_dir() else []
    except (OSError, ValueError) as error:  # a name too long, a null character
        raise UnknownDatasetError(f"{str(path)!r}: cannot be read as data: {error}") from error
    if deeper:
        meant = " or ".join(str(folder) for folder in deeper[:_SHOWN]) + (" …" if len(deeper) > _SHOWN else "")
        raise UnknownDatasetError(
            f"{path}: expected a folder a class, or train/, val/ and test/ of them; received folders that hold such "
            f"folders. Give {meant}, or move the folders of all classes side by side."
        )
    if exists:
        raise UnknownDatasetError(
            f"{path}: holds no data that is known. Looked for: {_LOOKED_FOR}. To force one, write "
            f"{' or '.join(f'{kind}:{path}' for kind in _PATH_READERS)}."
        )
    near = difflib.get_close_matches(str(path), NAMES)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UnknownDatasetError(f"unknown data '{path}': neither a path nor one of {', '.join(NAMES)}.{hint}")


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
