"""What everything asks of labels that only splits, counts and hashes them."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

NO_CLASS = -1  # of an image without objects, where images are counted by class
_FEWEST = 5  # images, for a class to be divided on its own: a fifth of them is one


class Targets(Protocol):
    """The labels of N images.

    Attributes:
        contradiction: how two equal pictures can be labelled that contradict each other, for messages.
    """

    contradiction: ClassVar[str]

    def __len__(self) -> int:
        """Returns N."""
        ...

    def subset(self, indices: npt.NDArray[np.integer]) -> Self:
        """Returns the labels of the images at those positions, in that order."""
        ...

    def joined(self, others: Sequence[Self]) -> Self:
        """Returns these labels and those of other parts behind them."""
        ...

    def classes(self) -> npt.NDArray[np.int64]:
        """Returns for each image the class that a split and a balance count it by, (N,)."""
        ...

    def counts(self, num_classes: int) -> npt.NDArray[np.int64]:
        """Returns how many images show each class, (num_classes,)."""
        ...

    def digest(self, index: int) -> bytes:
        """Returns what the data's fingerprint takes of one image's label."""
        ...

    def truth(self, index: int) -> Any:
        """Returns the label of one image, in the form that belongs to the kind."""
        ...

    def truths(self, to_model: npt.NDArray[np.int64]) -> Any:
        """Returns the label of each image as a metric takes them, N.

        Args:
            to_model: (classes,) for each class id of the data, the model's.
        """
        ...


def rarest_classes(shown: Sequence[Sequence[int]], frequency: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Returns for each image the rarest class in it, so that a split and a balance see to rare ones first.

    Images without any count as `NO_CLASS`, and so do those of classes that fewer than five images would count by: where
    each of many rare classes is divided on its own, a part gets far more than its share. Where only one image would
    count so, it counts with the largest class.

    Args:
        shown: the classes in each of N images.
        frequency: (classes,) how many images show each.
    """
    rarest = [min(set(ids), key=lambda i: (frequency[i], i), default=NO_CLASS) for ids in shown]
    classes = np.array(rarest, np.int64)
    found, counts = np.unique(classes, return_counts=True)
    classes[np.isin(classes, found[counts < _FEWEST])] = NO_CLASS
    if (classes == NO_CLASS).sum() == 1 and len(classes) > 1:
        classes[classes == NO_CLASS] = found[counts.argmax()]
    return classes
