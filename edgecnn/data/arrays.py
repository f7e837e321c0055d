"""Arrays of pixels and class ids, checked and made into a data set."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.fingerprint import fingerprint
from edgecnn.data.samples import Dataset, Samples
from edgecnn.data.split import split_off_test
from edgecnn.errors import DatasetError

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def dataset_from_arrays(
    name: str, location: str, train: Pair, test: Pair | None, *, labels: Sequence[str] | None = None
) -> Dataset:
    """Checks arrays and makes a data set of them.

    Args:
        name: stands before every message.
        location: what `load_dataset` takes to read it again.
        train: x, uint8 (N, H, W) or (N, H, W, C) with C 1 or 3; y, integers (N,) or (N, 1).
        test: likewise; None holds a seeded fifth of `train` out.
        labels: one name a class; "0", "1", … by default.

    Raises:
        DatasetError: a dtype, a shape or a class id that is not as above; a class without a training image.
    """
    x_train, y_train = _pair(name, "train", train)
    names = _labels(name, y_train, labels)
    part = Samples(x_train, y_train, names, "train")
    if test is None:
        parts = split_off_test(part)
    else:
        x_test, y_test = _pair(name, "test", test)
        _check_test(name, x_train, x_test, y_test, names)
        parts = (part, Samples(x_test, y_test, names, "test"))
    return Dataset(name, location, *parts, fingerprint(*parts))


def _pair(name: str, part: str, arrays: Pair) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
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


def _check_test(
    name: str,
    x_train: npt.NDArray[np.uint8],
    x_test: npt.NDArray[np.uint8],
    class_ids: npt.NDArray[np.int64],
    labels: tuple[str, ...],
) -> None:
    if class_ids.max() >= len(labels):
        raise DatasetError(
            f"{name}: y_test: expected the {len(labels)} classes of y_train, received class {class_ids.max()}"
        )
    if x_test.shape[1:] != x_train.shape[1:]:
        raise DatasetError(f"{name}: x_test: expected images of {x_train.shape[1:]}, received {x_test.shape[1:]}")
