"""How well outlines are met: F1 of the boundaries of each class.

Reference:
    Csurka, Larlus and Perronnin 2013, "What is a good evaluation measure for semantic segmentation?", section 4: a
    pixel of a boundary is right where the other boundary passes within a tolerance of .75 % of the image's diagonal.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from edgecnn.data.targets import IGNORE

TOLERANCE = 0.0075  # of the diagonal
_CROSS = ndimage.generate_binary_structure(2, 1)


@dataclass(frozen=True, slots=True, eq=False)
class BoundaryCounts:
    """Sums over images, one number a class.

    Attributes:
        precision: over the images in which the class was answered, the part of its boundary that is near a true one.
        answered: how many images these are.
        recall: over the images that show the class, the part of its boundary that is near an answered one.
        shown: how many images these are.
    """

    precision: npt.NDArray[np.float64]
    answered: npt.NDArray[np.int64]
    recall: npt.NDArray[np.float64]
    shown: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, classes: int) -> Self:
        """Returns the sums over no images."""
        return cls(np.zeros(classes), np.zeros(classes, np.int64), np.zeros(classes), np.zeros(classes, np.int64))

    def __add__(self, other: "BoundaryCounts") -> "BoundaryCounts":
        return BoundaryCounts(
            self.precision + other.precision,
            self.answered + other.answered,
            self.recall + other.recall,
            self.shown + other.shown,
        )

    def f1(self) -> npt.NDArray[np.float64]:
        """Returns the harmonic mean of both means, (classes,); NaN where a class was neither shown nor answered."""
        precision = self.precision / np.maximum(self.answered, 1)
        recall = self.recall / np.maximum(self.shown, 1)
        both = precision + recall
        f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
        return np.where((self.answered > 0) | (self.shown > 0), f1, np.nan)


def count_boundary(truth: npt.NDArray[np.uint8], answer: npt.NDArray[np.uint8], classes: int) -> BoundaryCounts:
    """Returns the counts of one image.

    The border of the image is no boundary, and neither are pixels that are ignored or beside such.

    Args:
        truth: (H, W) class ids, and `IGNORE`.
        answer: (H, W) class ids.
        classes: how many there are.
    """
    counts = BoundaryCounts.empty(classes)
    reach = max(1.0, TOLERANCE * math.hypot(*truth.shape))
    said = ndimage.binary_erosion(truth != IGNORE, _CROSS, border_value=1)
    for class_id in np.union1d(truth, answer):
        if class_id == IGNORE:
            continue
        true, given = (_boundary(one == class_id) & said for one in (truth, answer))
        if given.any():
            counts.answered[class_id] = 1
            counts.precision[class_id] = _near(given, true, reach)
        if true.any():
            counts.shown[class_id] = 1
            counts.recall[class_id] = _near(true, given, reach)
    return counts


def _boundary(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Returns the pixels of a class that have one of another class beside them."""
    found: npt.NDArray[np.bool_] = mask & ~ndimage.binary_erosion(mask, _CROSS, border_value=1)
    return found


def _near(some: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_], reach: float) -> float:
    """Returns the part of some pixels from which others are within reach."""
    if not others.any():
        return 0.0
    return float((ndimage.distance_transform_edt(~others)[some] <= reach).mean())
