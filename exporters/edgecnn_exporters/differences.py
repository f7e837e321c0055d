"""Running differences between two models' answers: a few numbers, whatever the number of images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.evidence import DecodedParity, TensorParity
from edgecnn_runtime.results import Result

_SMALLEST = float(np.finfo(np.float32).tiny)  # an output that is 0 everywhere must not divide by 0


@dataclass(slots=True)
class OutputDifference:
    """Level 1: how far one raw output is from the reference's.

    Attributes:
        output: its name.
        max_abs: the largest |candidate - reference| so far.
        max_reference: the largest |reference| so far.
        worst_image: the number of the image with the largest difference.
    """

    output: str
    max_abs: float = 0.0
    max_reference: float = 0.0
    worst_image: int = 0

    @property
    def max_relative(self) -> float:
        """The largest difference as a part of the reference's own maximum."""
        return self.max_abs / max(self.max_reference, _SMALLEST)

    def update(self, reference: npt.NDArray[Any], candidate: npt.NDArray[Any], numbers: npt.NDArray[np.intp]) -> None:
        """Adds a batch.

        Args:
            reference: (N, ...) finite.
            candidate: the same shape, finite.
            numbers: (N,) the images' numbers.
        """
        if not numbers.size:
            return
        differences = np.abs(candidate.astype(np.float64) - reference).reshape(len(numbers), -1).max(axis=1)  # (N,)
        worst = int(differences.argmax())
        if differences[worst] > self.max_abs:
            self.max_abs, self.worst_image = float(differences[worst]), int(numbers[worst])
        self.max_reference = max(self.max_reference, float(np.abs(reference).max()))

    def parity(self) -> TensorParity:
        """Returns level 1 of the evidence."""
        return TensorParity(self.output, self.max_abs, self.max_relative)


@dataclass(slots=True)
class DecodedDifference:
    """Level 2: how far the decoded results are from the reference's.

    Attributes:
        images: how many images so far, with those whose outputs were not finite.
        agreeing: on how many both put the same class first.
        max_score_difference: the largest difference between two scores of one class.
        disagreements: (image number, margin) of each other image, where the margin is the reference's first raw output
            minus its second.
    """

    images: int = 0
    agreeing: int = 0
    max_score_difference: float = 0.0
    disagreements: list[tuple[int, float]] = field(default_factory=list)

    def update(
        self,
        reference: Sequence[Result],
        candidate: Sequence[Result],
        logits: npt.NDArray[Any],
        numbers: npt.NDArray[np.intp],
    ) -> None:
        """Adds a batch.

        Args:
            reference: N results.
            candidate: N results.
            logits: (N, classes) of the reference.
            numbers: (N,) the images' numbers.
        """
        for expected, received, row, number in zip(reference, candidate, logits, numbers, strict=True):
            difference = float(np.abs(expected.scores - received.scores).max())
            self.max_score_difference = max(self.max_score_difference, difference)
            if expected.class_id == received.class_id:
                self.agreeing += 1
            else:
                second, first = np.partition(row, -2)[-2:]
                self.disagreements.append((int(number), float(first) - float(second)))

    def beyond(self, tolerance: float) -> tuple[int, ...]:
        """Returns the images on which the first classes differ though the reference's margin exceeds the tolerance."""
        return tuple(number for number, margin in self.disagreements if margin > tolerance)

    def parity(self) -> DecodedParity:
        """Returns level 2 of the evidence."""
        return DecodedParity(self.images, self.agreeing / max(self.images, 1), self.max_score_difference)
