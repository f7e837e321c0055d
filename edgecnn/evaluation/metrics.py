"""What a task's metric must be able to say, for evaluation, for proofs and for the gate of files of fewer bits."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.manifest import Manifest


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


@dataclass(frozen=True, slots=True)
class ClassShare:
    """One class's share in an evaluation; each task says more of it.

    Attributes:
        name: the label; None for a model that never saw data.
        class_id: its index in the model's output.
    """

    name: str | None
    class_id: int

    @property
    def title(self) -> str:
        """The label, or else the class id in words."""
        return f"class {self.class_id}" if self.name is None else self.name

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object of one class; its id is called "class", as in results."""
        tree = asdict(self)
        return {"name": tree.pop("name"), "class": tree.pop("class_id"), **tree}


def shown_part(part: float | None) -> str:
    """Returns a part from 0 to 1 as tables show it.

    >>> shown_part(0.5), shown_part(None)
    ('0.5000', '-')
    """
    return "-" if part is None else f"{part:.4f}"


class TaskMetric(Protocol):
    """A metric that is fed batch by batch; also an exporters' `Metric`."""

    @property
    def name(self) -> str:
        """What it is called in the evidence."""
        ...

    @property
    def manifest(self) -> Manifest:
        """By which raw outputs are decoded for it: the model's, or one that keeps more of what was found."""
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

    def image_scores(self) -> npt.NDArray[np.float64]:
        """Returns how well each image was answered, (N,) 0 to 1, by which the worst are found: `scores`, if any."""
        ...

    def evaluation(self, *, skipped: int = 0) -> Evaluation:
        """Returns all that the answers so far come to."""
        ...
