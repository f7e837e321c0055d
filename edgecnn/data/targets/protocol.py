"""What everything asks of labels that only splits, counts and hashes them."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

NO_CLASS = -1  # of an image without objects, where images are counted by class


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
