"""A class an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets.protocol import Targets


@dataclass(frozen=True, slots=True, eq=False)
class ClassIds:
    """A class an image.

    Attributes:
        ids: (N,) int64, each a position in the labels.
    """

    contradiction: ClassVar[str] = "in two classes"

    ids: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, indices: npt.NDArray[np.integer]) -> "ClassIds":
        """Returns the classes of the images at those positions, in that order."""
        return ClassIds(self.ids[indices])

    def joined(self, others: Sequence["ClassIds"]) -> "ClassIds":
        """Returns these classes and those of other parts behind them."""
        return ClassIds(np.concatenate([self.ids, *(other.ids for other in others)]))

    def classes(self) -> npt.NDArray[np.int64]:
        """Returns the classes themselves."""
        return self.ids

    def counts(self, num_classes: int) -> npt.NDArray[np.int64]:
        """Returns how many images there are of each class."""
        return np.bincount(self.ids, minlength=num_classes)

    def digest(self, index: int) -> bytes:
        """Returns the class id as 8 bytes."""
        return int(self.ids[index]).to_bytes(8, "little", signed=True)

    def truth(self, index: int) -> int:
        """Returns the class id."""
        return int(self.ids[index])

    def truths(self, to_model: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns the model's class ids, (N,)."""
        return to_model[self.ids]


def class_ids_of(targets: Targets) -> npt.NDArray[np.int64]:
    """Returns the class of each image, (N,): a classifier's way in.

    Raises:
        TypeError: they are no classes; `edgecnn.data.as_class_ids` makes classes of boxes.
    """
    if not isinstance(targets, ClassIds):
        raise TypeError(f"targets: expected a class an image, received {type(targets).__name__}")
    return targets.ids
