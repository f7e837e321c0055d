"""Running differences between two models' answers: a few numbers, whatever the number of images."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.evidence import TensorParity
from edgecnn_runtime.tasks.task import Agreement

_LEAST_SPREAD = 0.1
_DECIDED = math.log(2)  # margin
_SMALLEST = float(np.finfo(np.float32).tiny)  # an output that is 0 everywhere must not divide by 0


@dataclass(slots=True)
class OutputDifference:
    """Level 1: how far one raw output is from the reference's.

    Attributes:
        output: its name.
        any_size: whether it is a map whose size is the image's own, so that no place in it is in all images: its spread
            is over the places too then.
        max_abs: the largest |candidate - reference| so far.
        max_reference: the largest |reference| so far.
        worst_image: the number of the image with the largest difference.
    """

    output: str
    any_size: bool = False
    max_abs: float = 0.0
    max_reference: float = 0.0
    worst_image: int = 0
    _rows: int = 0  # so far: images, or the places in all of them
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
        by 1 at least, one whose classes are in another order by about 1.4. Of a map of any size it is about the mean
        over all places of all images. It counts as a tenth of the numbers' own root mean square at least, because a
        spread below that is no more than what fewer bits round away.
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
        rows = reference.astype(np.float64)
        self._add_spread(rows.reshape(-1, rows.shape[-1]) if self.any_size else rows)

    def _add_spread(self, reference: npt.NDArray[np.float64]) -> None:
        """Adds (N, ...), N at least 1, of the same shape each time but for N.

        Reference: Chan, Golub and LeVeque 1983, Algorithms for computing the sample variance, equation 1.5.
        """
        before, count = self._rows, len(reference)
        mean = reference.mean(axis=0)
        between = np.square(mean - self._mean).sum() * before * count / (before + count)
        self._scatter += float(np.square(reference - mean).sum() + between)
        self._squares += float(np.square(reference).sum())
        self._mean = self._mean + (mean - self._mean) * (count / (before + count))
        self._rows = before + count

    def parity(self) -> TensorParity:
        """Returns level 1 of the evidence."""
        return TensorParity(self.output, self.max_abs, self.max_relative)


@dataclass(slots=True)
class DecodedDifference:
    """Level 2: how far the decoded results are from those that the reference gives by itself.

    Attributes:
        images: how many images so far, with those whose outputs were not finite.
        agreeing: on how many both put the same answer first.
        differences: of each kind of number, the largest difference.
        relative: likewise, as gates judge it.
        largest_log: the largest |logarithm of a score| of the reference.
        decided: on how many the reference's best score is at least twice its second.
        compared: how many answers were.
        disagreements: (image number, margin, part of the answer) of each image on which the best answers differ.
    """

    images: int = 0
    agreeing: int = 0
    differences: dict[str, float] = field(default_factory=dict)
    relative: dict[str, float] = field(default_factory=dict)
    largest_log: float = 0.0
    decided: int = 0
    compared: int = 0
    disagreements: list[tuple[int, float, float]] = field(default_factory=list)

    def update(self, found: Agreement, number: int) -> None:
        """Adds the agreement of one image, by its number."""
        for largest, new in ((self.differences, found.differences), (self.relative, found.relative)):
            for name, value in new.items():
                largest[name] = max(largest.get(name, 0.0), value)
        self.largest_log = max(self.largest_log, found.largest_log)
        self.decided += found.margin >= _DECIDED
        self.agreeing += found.same
        self.compared += found.compared
        if not found.same:
            self.disagreements.append((number, found.margin, found.changed))

    def beyond(self, tolerance: float) -> tuple[int, ...]:
        """Returns the images on which the best answers differ though the reference's margin exceeds the tolerance."""
        return tuple(number for number, margin, _ in self.disagreements if margin > tolerance)

    @property
    def decided_disagreement(self) -> float:
        """The part of the decided images on which the best answers differ; 0 where none is decided.

        Where an answer has parts, as a class map has pixels, an image counts by those that differ.
        """
        return sum(part for _, margin, part in self.disagreements if margin >= _DECIDED) / max(self.decided, 1)
