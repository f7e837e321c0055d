"""scikit-learn's handwritten digits: 1,797 real 8x8 images, carried by its wheel."""

from dataclasses import replace

import numpy as np

from edgecnn.data.arrays import dataset_from_arrays
from edgecnn.data.samples import Dataset
from edgecnn.errors import MissingDependencyError


def read_digits() -> Dataset:
    """Reads the digits; the gray levels 0 to 16 become 0 to 255, and a seeded fifth of them is the test part.

    Raises:
        MissingDependencyError: scikit-learn is not installed.

    Reference:
        UCI Machine Learning Repository, Optical Recognition of Handwritten Digits (its test part).
    """
    try:
        from sklearn.datasets import load_digits  # other data need no scikit-learn
    except ImportError as error:
        raise MissingDependencyError.of("sklearn") from error
    images, class_ids = load_digits(return_X_y=True)
    pixels = np.round(images * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    dataset = dataset_from_arrays("digits", "digits", {"train": (pixels, class_ids)})
    return replace(dataset, is_split=False)  # these two parts are what `digits` means here, so they count as given
