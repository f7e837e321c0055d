"""Holding a seeded part of labelled images out, class by class."""

import numpy as np
import numpy.typing as npt

from edgecnn.data.samples import Samples
from edgecnn.data.targets import NO_CLASS
from edgecnn.errors import DatasetError

TEST_FRACTION = 0.2
_TEST_SEED = 0  # not the training seed: the test part of a data set must be the same for every run and evaluation


def split_off_test(samples: Samples) -> tuple[Samples, Samples]:
    """Makes a train and a test part of a data set that has none, 80/20 within each class, always the same one.

    Raises:
        DatasetError: a class has a single image.
    """
    classes = samples.targets.classes()
    found, counts = np.unique(classes, return_counts=True)
    if counts.min() < 2:
        lonely = int(found[counts.argmin()])
        of = "" if lonely == NO_CLASS else f"class {samples.labels[lonely]!r}: "
        raise DatasetError(
            f"{of}expected at least 2 images to hold a test part out, received {counts.min()}. "
            "Add images, or give the data a test part."
        )
    train, test = stratified_split(classes, TEST_FRACTION, seed=_TEST_SEED)
    stay, held = samples.subset(train), samples.subset(test)
    return stay.called("train"), held.called("test")


def stratified_split(
    class_ids: npt.NDArray[np.int64], fraction: float, *, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Holds the same fraction of each class out: the nearest whole number, at least 1, and at least 1 stays.

    Args:
        class_ids: (N,); each class stands there at least twice.
        fraction: the part to hold out, in (0, 1).
        seed: decides which ones.

    Returns:
        The positions that stay and those held out, both sorted.

    Raises:
        ValueError: a class stands there once.

    Example:
        >>> stay, held = stratified_split(np.array([0, 0, 0, 0, 1, 1]), 0.25, seed=1)
        >>> len(stay), np.array([0, 0, 0, 0, 1, 1])[held].tolist()
        (4, [0, 1])
    """
    random = np.random.default_rng(seed)
    held = []
    for class_id in np.unique(class_ids):
        positions = np.flatnonzero(class_ids == class_id)
        if len(positions) < 2:
            raise ValueError(f"expected each class at least twice, received class {class_id} once")
        count = min(max(round(len(positions) * fraction), 1), len(positions) - 1)
        held.append(random.permutation(positions)[:count])
    out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(class_ids)), out, assume_unique=True), out
