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

    def scores(self) -> npt.NDArray[np.float64] | None:
        """Returns each image's part, (N,), where the metric is their mean; else None."""
        ...


class Accuracy:
    """The part of the images whose best class is the true one."""

    name = "accuracy"

    def __init__(self) -> None:
        self._right: list[npt.NDArray[np.bool_]] = []

    def update(self, results: Sequence[Result], class_ids: ClassIds) -> None:
        """Adds a batch: N results and their true classes, (N,)."""
        best = np.array([result.class_id for result in results], dtype=np.int64)
        self._right.append(best == class_ids)

    def value(self) -> float:
        """Returns the accuracy so far, 0 to 1."""
        right = self.scores()
        return float(right.sum()) / max(len(right), 1)

    def scores(self) -> npt.NDArray[np.float64]:
        """Returns 1 for each image that was answered right and 0 for the others, (N,)."""
        return np.concatenate([*self._right, np.empty(0)]).astype(np.float64)
