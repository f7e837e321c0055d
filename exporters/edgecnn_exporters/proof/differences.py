"""Running differences between two models' answers: a few numbers, whatever the number of images."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.evidence import DecodedParity, TensorParity

_LEAST_SPREAD = 0.1
_DECIDED = math.log(2)  # margin
_SMALLEST = float(np.finfo(np.float32).tiny)  # an output that is 0 everywhere must not divide by 0


@dataclass(slots=True)
class OutputDifference:
    """Level 1: how far one raw output is from the reference's.

    Attributes:
        output: its name.
        max_abs: the largest |candidate - reference| so far.
        max_reference: the largest |reference| so far.
        worst_image: the number of the image with the largest difference.
        images: how many so far.
    """

    output: str
    max_abs: float = 0.0
    max_reference: float = 0.0
    worst_image: int = 0
    images: int = 0
    _squared_error: float = 0.0
    _squares: float = 0.0  # of the reference, summed
    _mean: Any = 0.0  # of the reference over the images, of each of its numbers
    _scatter: float = 0.0  # the squares of the reference's differences from that mean, summed

    @property
    def max_relative(self) -> float:
        """The largest difference as a part of the reference's own maximum."""
        return self.max_abs / max(self.max_reference, _SMALLEST)

    @property
    def spread_error(self) -> float:
        """The root mean square of the differences, as a part of the reference's own spread over the images.

        The spread is of each number about its mean over the images: an output that does not depend on the image is off
        by 1 at least, one whose classes are in another order by about 1.4. It counts as a tenth of the numbers' own
        root mean square at least, because a spread below that is no more than what fewer bits round away.
        """
        spread = max(self._scatter, _LEAST_SPREAD**2 * self._squares)
        return math.sqrt(self._squared_error / max(spread, _SMALLEST))

    def update(self, reference: npt.NDArray[Any], candidate: npt.NDArray[Any], numbers: npt.NDArray[np.intp]) -> None:
        """Adds a batch.

        Args:
            reference: (N, ...) finite.
            candidate: the same shape, finite.
            numbers: (N,) the images' numbers.
        """
        if not numbers.size:
            return
        errors = candidate.astype(np.float64) - reference
        differences = np.abs(errors).reshape(len(numbers), -1).max(axis=1)  # (N,)
        worst = int(differences.argmax())
        if differences[worst] > self.max_abs:
            self.max_abs, self.worst_image = float(differences[worst]), int(numbers[worst])
        self.max_reference = max(self.max_reference, float(np.abs(reference).max()))
        self._squared_error += float(np.square(errors).sum())
        self._add_spread(reference.astype(np.float64))

    def _add_spread(self, reference: npt.NDArray[np.float64]) -> None:
        """Adds (N, ...), N at least 1.

        Reference: Chan, Golub and LeVeque 1983, Algorithms for computing the sample variance, equation 1.5.
        """
        before, count = self.images, len(reference)
        mean = reference.mean(axis=0)
        between = np.square(mean - self._mean).sum() * before * count / (before + count)
        self._scatter += float(np.square(reference - mean).sum() + between)
        self._squares += float(np.square(reference).sum())
        self._mean = self._mean + (mean - self._mean) * (count / (before + count))
        self.images = before + count

    def parity(self) -> TensorParity:
        """Returns level 1 of the evidence."""
        return TensorParity(self.output, self.max_abs, self.max_relative)


@dataclass(slots=True)
class DecodedDifference:
    """Level 2: how far the class scores are from the reference's.

    A margin says how sure the reference is of its best class: the logarithm of its score less that of the second. Of
    scores that are a softmax, that is the difference of the two logits.

    Attributes:
        images: how many images so far, with those whose outputs were not finite.
        agreeing: on how many both put the same class first.
        max_score_difference: the largest difference between two scores of one class.
        max_relative_difference: likewise, as a part of the reference's best score of that image.
        largest_log: the largest |logarithm of a score| of the reference.
        decided: on how many the reference's best class is at least twice as likely as its second.
        disagreements: (image number, margin) of each image on which the best classes differ.
    """

    images: int = 0
    agreeing: int = 0
    max_score_difference: float = 0.0
    max_relative_difference: float = 0.0
    largest_log: float = 0.0
    decided: int = 0
    disagreements: list[tuple[int, float]] = field(default_factory=list)

    def update(
        self, reference: npt.NDArray[np.float32], candidate: npt.NDArray[np.float32], numbers: npt.NDArray[np.intp]
    ) -> None:
        """Adds a batch.

        Args:
            reference: (N, classes) scores, 0 to 1, 2 classes or more.
            candidate: likewise.
            numbers: (N,) the images' numbers.
        """
        if not numbers.size:
            return
        differences = np.abs(reference - candidate).max(axis=1)  # (N,)
        best = np.maximum(reference.max(axis=1), _SMALLEST)
        self.max_score_difference = max(self.max_score_difference, float(differences.max()))
        self.max_relative_difference = max(self.max_relative_difference, float((differences / best).max()))
        logs = np.log(np.maximum(reference, _SMALLEST).astype(np.float64))  # (N, classes)
        self.largest_log = max(self.largest_log, float(np.abs(logs).max()))
        second, first = np.partition(logs, -2, axis=1)[:, -2:].T
        margins = first - second  # (N,)
        self.decided += int((margins >= _DECIDED).sum())
        differing = reference.argmax(axis=1) != candidate.argmax(axis=1)
        self.agreeing += int(np.count_nonzero(~differing))
        self.disagreements += zip(numbers[differing].tolist(), margins[differing].tolist(), strict=True)

    def beyond(self, tolerance: float) -> tuple[int, ...]:
        """Returns the images on which the first classes differ though the reference's margin exceeds the tolerance."""
        return tuple(number for number, margin in self.disagreements if margin > tolerance)

    @property
    def decided_disagreement(self) -> float:
        """The part of the decided images on which the first classes differ; 0 where none is decided."""
        return sum(margin >= _DECIDED for _, margin in self.disagreements) / max(self.decided, 1)

    def parity(self) -> DecodedParity:
        """Returns level 2 of the evidence."""
        return DecodedParity(self.images, self.agreeing / max(self.images, 1), self.max_score_difference)
