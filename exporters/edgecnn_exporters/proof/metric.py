"""Level 3 of parity: a metric of the decoded results, fed batch by batch."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.manifest import Manifest


class Metric(Protocol):
    """A metric that is fed batch by batch."""

    @property
    def name(self) -> str:
        """What it is called in the evidence."""
        ...

    @property
    def manifest(self) -> Manifest:
        """By which raw outputs are decoded for it: the model's, or one that keeps more of what was found."""
        ...

    def update(self, results: Sequence[Any], truths: Any) -> None:
        """Adds a batch: N results, and what the data say of their images; only the metric looks inside."""
        ...

    def value(self) -> float:
        """Returns the metric over everything so far."""
        ...

    def scores(self) -> npt.NDArray[np.float64] | None:
        """Returns each image's part, (N,), where the metric is their mean; else None."""
        ...
