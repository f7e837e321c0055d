"""What a task's metric must be able to say, for evaluation, for proofs and for the gate of files of fewer bits."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Evaluation(Protocol):
    """What a model's answers over labelled images come to.

    Attributes:
        images: how many.
        skipped: how many more were left out, because they cannot be decoded.
    """

    @property
    def images(self) -> int: ...  # noqa: D102
    @property
    def skipped(self) -> int: ...  # noqa: D102

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object."""
        ...

    def headline(self) -> str:
        """Returns the metrics in a few words."""
        ...

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Returns the columns and the rows of what people read besides."""
        ...


class TaskMetric(Protocol):
    """A metric that is fed batch by batch; also an exporters' `Metric`."""

    @property
    def name(self) -> str:
        """What it is called in the evidence."""
        ...

    def update(self, results: Sequence[Any], truths: Any) -> None:
        """Adds a batch: N results of the task, and the truths of their images."""
        ...

    def value(self) -> float:
        """Returns the metric over everything so far."""
        ...

    def scores(self) -> npt.NDArray[np.float64] | None:
        """Returns each image's part, (N,), where the metric is their mean; else None."""
        ...

    def evaluation(self, *, skipped: int = 0) -> Evaluation:
        """Returns all that the answers so far come to."""
        ...
