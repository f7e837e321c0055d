"""From what the user typed to a data set."""

import difflib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgecnn.data import coco, mask_folders, questions, shapes, voc, yolo
from edgecnn.data.digits import read_digits
from edgecnn.data.faults import Faults
from edgecnn.data.folders import below, holds_classes, read_folders
from edgecnn.data.keras_datasets import LABELS as KERAS_DATASETS
from edgecnn.data.keras_datasets import read_keras_dataset
from edgecnn.data.masks import read_masks
from edgecnn.data.npz import read_npz
from edgecnn.data.samples import Dataset
from edgecnn.data.tfds import read_tfds
from edgecnn.errors import DatasetError, UnknownDatasetError

NAMES = ("digits", shapes.NAME, *KERAS_DATASETS)


@dataclass(frozen=True, slots=True)
class _Format:
    """One way in which data lie under a path.

    Attributes:
        name: for people.
        looked_for: what it is recognised by.
        holds: says whether a path looks so; it raises OSError, ValueError or DatasetError where it cannot be read.
        read: reads it; faults of labels are the second argument.
    """

    name: str
    looked_for: str
    holds: Callable[[Path], bool]
    read: Callable[[Path, Faults], Dataset]


_FORMATS = {  # in the order in which they are tried: a folder of images is also part of what comes before it
    "questions": _Format("questions", questions.LOOKED_FOR, questions.holds_questions, questions.read_questions),
    "npz": _Format(
        "arrays in an .npz file",
        "an .npz file with x_train and y_train",
        lambda path: path.is_file() and (path.suffix == ".npz" or _is_zip(path)),
        lambda path, _: read_npz(path),
    ),
    "yolo": _Format("YOLO", yolo.LOOKED_FOR, yolo.holds_yolo, yolo.read_yolo),
    "coco": _Format("COCO", coco.LOOKED_FOR, coco.holds_coco, coco.read_coco),
    "voc": _Format("Pascal VOC", voc.LOOKED_FOR, voc.holds_voc, voc.read_voc),
    "masks": _Format("masks", mask_folders.LOOKED_FOR, mask_folders.holds_masks, read_masks),
    "folder": _Format(
        "a folder a class",
        "a folder a class; train/, val/ and test/ with a folder a class",
        lambda path: path.is_dir() and holds_classes(path),
        lambda path, _: read_folders(path),
    ),
}
_SHOWN = 3

logger = logging.getLogger(__name__)


def load_dataset(name_or_path: str, *, skip_bad: bool = False) -> Dataset:
    """Reads a data set.

    Args:
        name_or_path: "digits", "shapes" (or "shapes:1", one object an image), "mnist", "fashion_mnist" or "cifar10";
            "tfds:NAME" of TensorFlow Datasets; or a path, recognised by what it holds: questions, an `.npz` file, YOLO,
            COCO, Pascal VOC, masks or a folder a class; or "questions:PATH", "npz:PATH", "yolo:PATH", "coco:PATH",
            "voc:PATH", "masks:PATH", "folder:PATH", which force one. A name wins over a path: write "./mnist" for a
            folder of that name.
        skip_bad: leave out faulty boxes, annotations and masks, and say so in the log, instead of ending at the first.

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
    faults = Faults(keep=skip_bad)
    dataset = read_dataset(name_or_path, faults).dataset
    faults.log(dataset.name)
    logger.info(
        "data %s: %d classes, %s, fingerprint %s",
        *(dataset.name, len(dataset.labels)),
        *(", ".join(f"{part.part} {len(part)} images" for part in dataset.parts), dataset.fingerprint[:12]),
    )
    return dataset


@dataclass(frozen=True, slots=True)
class Found:
    """A data set, and what it was recognised as.

    Attributes:
        dataset: what was read.
        format: for people: "Pascal VOC" and the like, or "digits" for a set with a name.
    """

    dataset: Dataset
    format: str


def read_dataset(name_or_path: str, faults: Faults) -> Found:
    """Reads a data set as `load_dataset` does, and keeps what is wrong with it.

    Args:
        name_or_path: as for `load_dataset`.
        faults: gets what is wrong with labels.

    Raises:
        UnknownDatasetError: as `load_dataset` does, like the others.
        DatasetError: likewise.
        MissingDependencyError: likewise.
    """
    reader = _reader(name_or_path)
    return Found(reader.read(faults), reader.format)


def check_data(name_or_path: str) -> None:
    """Refuses what `load_dataset` would not know or find, without reading it.

    Args:
        name_or_path: as for `load_dataset`.

    Raises:
        UnknownDatasetError: as for `load_dataset`.
        DatasetError: a path that was forced is missing, or one cannot be read.
    """
    reader = _reader(name_or_path)
    kind, _, path = name_or_path.partition(":")
    if path and kind in _FORMATS and path_of(name_or_path) is None:
        reader.read(Faults())  # which says what is missing


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
    if name_or_path in NAMES or shapes.is_shapes(name_or_path) or kind == "tfds":
        return None
    path = Path(rest if rest and kind in _FORMATS else name_or_path)
    return path if os.path.exists(path) else None  # noqa: PTH110  (of a name too long, it says no)


@dataclass(frozen=True, slots=True)
class _Reader:
    """What reads data that were recognised: as what, and how."""

    format: str
    read: Callable[[Faults], Dataset]


def _reader(name_or_path: str) -> _Reader:
    if name_or_path == "digits":
        return _Reader(name_or_path, lambda _: read_digits())
    if shapes.is_shapes(name_or_path):
        most = shapes.most_objects(name_or_path)
        return _Reader(shapes.NAME, lambda _: shapes.read_shapes(most))
    if name_or_path in KERAS_DATASETS:
        return _Reader(name_or_path, lambda _: read_keras_dataset(name_or_path))
    kind, _, rest = name_or_path.partition(":")
    if rest and kind == "tfds":
        return _Reader("TensorFlow Datasets", lambda _: read_tfds(rest))
    if rest and kind in _FORMATS:
        return _Reader(_FORMATS[kind].name, partial(_read_forced, kind, Path(rest)))
    return _reader_of(Path(name_or_path))


def _read_forced(kind: str, path: Path, faults: Faults) -> Dataset:
    try:
        return _FORMATS[kind].read(path, faults)
    except (OSError, ValueError) as error:  # a name too long, a null character
        raise UnknownDatasetError(f"{str(path)!r}: cannot be read as data: {error}") from error


def _reader_of(path: Path) -> _Reader:
    try:
        found = next((each for each in _FORMATS.values() if each.holds(path)), None)
        if found is not None:
            return _Reader(found.name, partial(found.read, path))
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
        looked_for = "; ".join(each.looked_for for each in _FORMATS.values())
        forced = " or ".join(f"{kind}:{path}" for kind in _FORMATS)
        raise UnknownDatasetError(
            f"{path}: holds no data that is known. Looked for: {looked_for}. To force one, write {forced}."
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
