"""What a classifier's files are judged by."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.tasks.classification import Classification


class Accuracy:
    """The part of the images whose best class is the true one."""

    name = "accuracy"

    def __init__(self) -> None:
        self._right: list[npt.NDArray[np.bool_]] = []

    def update(self, results: Sequence[Classification], truths: npt.NDArray[np.integer[Any]]) -> None:
        """Adds a batch: N results and their true class ids, (N,)."""
        best = np.array([result.class_id for result in results], dtype=np.int64)
        self._right.append(best == truths)

    def value(self) -> float:
        """Returns the accuracy so far, 0 to 1."""
        right = self.scores()
        return float(right.sum()) / max(len(right), 1)

    def scores(self) -> npt.NDArray[np.float64]:
        """Returns 1 for each image that was answered right and 0 for the others, (N,)."""
        return np.concatenate([*self._right, np.empty(0)]).astype(np.float64)
