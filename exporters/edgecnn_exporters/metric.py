"""Level 3 of parity: a metric of the decoded results, fed batch by batch."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.results import Result

ClassIds = npt.NDArray[np.integer[Any]]


class Metric(Protocol):
    """A metric that is fed batch by batch."""

    @property
    def name(self) -> str:
        """What it is called in the evidence."""
        ...

    def update(self, results: Sequence[Result], class_ids: ClassIds) -> None:
        """Adds a batch: N results and their true classes, (N,)."""
        ...

    def value(self) -> float:
        """Returns the metric over everything so far."""
        ...


class Accuracy:
    """The part of the images whose best class is the true one."""

    name = "accuracy"

    def __init__(self) -> None:
        self._right, self._images = 0, 0

    def update(self, results: Sequence[Result], class_ids: ClassIds) -> None:
        """Adds a batch: N results and their true classes, (N,)."""
        self._images += len(results)
        best = np.array([result.class_id for result in results])
        self._right += int(np.count_nonzero(best == class_ids))

    def value(self) -> float:
        """Returns the accuracy so far, 0 to 1."""
        return self._right / max(self._images, 1)
