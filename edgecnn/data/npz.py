"""Data sets in one `.npz` file: x_train, y_train, and x_test, y_test, labels where there are some."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.arrays import dataset_from_arrays
from edgecnn.data.samples import Dataset
from edgecnn.errors import DatasetError

Arrays = dict[str, npt.NDArray[Any]]


def read_npz(path: Path) -> Dataset:
    """Reads a data set from an `.npz` file; nothing in it is executed (no pickles).

    Args:
        path: holds x_train uint8 (N, H, W) or (N, H, W, C), y_train integers (N,) or (N, 1), x_test and y_test likewise
            (both or neither), and labels (classes,) as text (or none).

    Raises:
        DatasetError: the file is missing, damaged or holds pickled objects; arrays are missing or not as above.
    """
    arrays = _load(path)
    missing = [key for key in ("x_train", "y_train") if key not in arrays]
    if ("x_test" in arrays) != ("y_test" in arrays):
        missing += [key for key in ("x_test", "y_test") if key not in arrays]
    if missing:
        raise DatasetError(
            f"{path}: expected x_train and y_train (and x_test and y_test together), received {sorted(arrays)}: "
            f"{', '.join(missing)} missing"
        )
    test = (arrays["x_test"], arrays["y_test"]) if "x_test" in arrays else None
    labels = _labels(path, arrays.get("labels"))
    return dataset_from_arrays(
        path.name, str(path.absolute()), (arrays["x_train"], arrays["y_train"]), test, labels=labels
    )


def _load(path: Path) -> Arrays:
    if not path.is_file():
        raise DatasetError(f"{path}: expected an .npz file, received {'a folder' if path.is_dir() else 'no file'}")
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise DatasetError(f"{path}: expected an .npz file, received a single array. Write it with np.savez.")
            return {key: archive[key] for key in archive.files}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(
            f"{path}: expected an .npz file of plain arrays, received a damaged one ({reason})"
        ) from error
    except MemoryError as error:
        raise DatasetError(f"{path}: its arrays need more memory than there is ({error})") from error


def _labels(path: Path, labels: npt.NDArray[Any] | None) -> tuple[str, ...] | None:
    if labels is None:
        return None
    if labels.ndim != 1 or labels.dtype.kind != "U":
        raise DatasetError(f"{path}: labels: expected text, one name a class, received {labels.dtype} {labels.shape}")
    return tuple(str(label) for label in labels)
