"""Arrays of pixels and class ids, checked and made into a data set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.parts import make_dataset
from edgecnn.data.samples import Dataset, PartName, Samples
from edgecnn.data.targets import ClassIds
from edgecnn.errors import DatasetError

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]
_Checked = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def dataset_from_arrays(
    name: str, location: str, arrays: Mapping[PartName, Pair], *, labels: Sequence[str] | None = None
) -> Dataset:
    """Checks arrays and makes a data set of them.

    Args:
        name: stands before every message.
        location: what `load_dataset` takes to read it again.
        arrays: train and any other parts: x, uint8 (N, H, W) or (N, H, W, C) with C 1 or 3; y, integers (N,) or (N, 1).
        labels: one name a class; "0", "1", … by default.

    Raises:
        DatasetError: a dtype, a shape or a class id that is not as above; a class without a training image.
    """
    pairs = {part: _pair(name, part, pair) for part, pair in arrays.items()}
    names = _labels(name, pairs["train"][1], labels)
    for part in pairs:
        _check_like_train(name, part, pairs, names)
    return make_dataset(name, location, [Samples(x, ClassIds(y), names, part) for part, (x, y) in pairs.items()])


def _pair(name: str, part: str, arrays: Pair) -> _Checked:
    x, y = arrays
    x_name, y_name = f"{name}: x_{part}", f"{name}: y_{part}"
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in (1, 3)):
        raise DatasetError(
            f"{x_name}: expected uint8 (N, height, width) or (N, height, width, 1 or 3), received {x.dtype} "
            f"{x.shape}. Save the raw pixels, 0 to 255: the model normalises them itself."
        )
    if not x.size:
        raise DatasetError(f"{x_name}: expected at least one image, received shape {x.shape}")
    if not np.issubdtype(y.dtype, np.integer) or y.shape not in ((len(y),), (len(y), 1)):
        raise DatasetError(
            f"{y_name}: expected integer class ids, (N,) or (N, 1), received {y.dtype} {y.shape}. "
            "One class id an image, not one-hot."
        )
    if len(x) != len(y):
        raise DatasetError(f"{name}: expected one class id an image, received {len(x)} x_{part} and {len(y)} y_{part}")
    if y.min() < 0:
        raise DatasetError(f"{y_name}: expected class ids from 0, received {y.min()}")
    if int(y.max()) > len(y) + 65535:  # before the conversion, which would wrap large unsigned numbers
        raise DatasetError(f"{y_name}: expected class ids without gaps, received {y.max()} among {len(y)} images")
    return x, y.reshape(-1).astype(np.int64)


def _labels(name: str, class_ids: npt.NDArray[np.int64], labels: Sequence[str] | None) -> tuple[str, ...]:
    present = np.unique(class_ids)
    names = tuple(str(i) for i in range(int(present[-1]) + 1)) if labels is None else tuple(labels)
    if present[-1] >= len(names):
        raise DatasetError(
            f"{name}: y_train: expected class ids below {len(names)}, the labels, received {present[-1]}"
        )
    missing = np.setdiff1d(np.arange(len(names)), present)
    if missing.size:
        raise DatasetError(
            f"{name}: y_train: expected an image of each of the {len(names)} classes, received none of "
            f"{', '.join(repr(names[i]) for i in missing[:5])}{' …' if missing.size > 5 else ''}"
        )
    if len(names) < 2:
        raise DatasetError(f"{name}: expected at least 2 classes, received {len(names)}")
    if len(set(names)) != len(names) or not all(names):
        raise DatasetError(f"{name}: labels: expected one name a class, unique and not empty, received {list(names)}")
    return names


def _check_like_train(name: str, part: PartName, pairs: Mapping[PartName, _Checked], labels: tuple[str, ...]) -> None:
    (x_train, _), (x, y) = pairs["train"], pairs[part]
    if y.max() >= len(labels):
        raise DatasetError(f"{name}: y_{part}: expected the {len(labels)} classes of y_train, received class {y.max()}")
    if x.shape[1:] != x_train.shape[1:]:
        raise DatasetError(f"{name}: x_{part}: expected images of {x_train.shape[1:]}, received {x.shape[1:]}")
