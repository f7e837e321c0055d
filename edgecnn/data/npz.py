"""Data sets in one `.npz` file: x_train, y_train, and x_test, y_test, x_val, y_val, labels where there are some."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.arrays import dataset_from_arrays
from edgecnn.data.samples import Dataset, PartName
from edgecnn.errors import DatasetError

Arrays = dict[str, npt.NDArray[Any]]
_PARTS: tuple[PartName, ...] = ("train", "val", "test")


def read_npz(path: Path) -> Dataset:
    """Reads a data set from an `.npz` file; nothing in it is executed (no pickles).

    Args:
        path: holds x_train uint8 (N, H, W) or (N, H, W, C), y_train integers (N,) or (N, 1), x_test and y_test likewise
            (both or neither), x_val and y_val likewise, and labels (classes,) as text (or none).

    Raises:
        DatasetError: the file is missing, damaged or holds pickled objects; arrays are missing or not as above.
    """
    arrays = _load(path)
    parts = [part for part in _PARTS if part == "train" or {f"x_{part}", f"y_{part}"} & arrays.keys()]
    missing = [key for part in parts for key in (f"x_{part}", f"y_{part}") if key not in arrays]
    if missing:
        raise DatasetError(
            f"{path}: expected x_train and y_train (and x_test and y_test, x_val and y_val together), received "
            f"{sorted(arrays)}: {', '.join(missing)} missing"
        )
    labels = _labels(path, arrays.get("labels"))
    pairs = {part: (arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in parts}
    return dataset_from_arrays(path.name, str(path.absolute()), pairs, labels=labels)


def _load(path: Path) -> Arrays:
    if not os.path.isfile(path):  # noqa: PTH113  (Path raises on a long name)
        raise DatasetError(
            f"{path}: expected an .npz file, received {'a folder' if os.path.isdir(path) else 'no file'}"  # noqa: PTH112
        )
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise DatasetError(f"{path}: expected an .npz file, received a single array. Write it with np.savez.")
            return {key: archive[key] for key in archive.files}
    except MemoryError as error:
        raise DatasetError(f"{path}: its arrays need more memory than there is ({error})") from error
    except DatasetError:
        raise
    except Exception as error:  # zipfile, zlib, bz2, lzma and NumPy's reader of headers each have their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(
            f"{path}: expected an .npz file of plain arrays, received a damaged one ({reason})"
        ) from error


def _labels(path: Path, labels: npt.NDArray[Any] | None) -> tuple[str, ...] | None:
    if labels is None:
        return None
    if labels.ndim != 1 or labels.dtype.kind != "U":
        raise DatasetError(f"{path}: labels: expected text, one name a class, received {labels.dtype} {labels.shape}")
    return tuple(str(label) for label in labels)
