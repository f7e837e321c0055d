"""Precision and recall of a class as ever more of its answers are taken, and the areas that are read from them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgecnn.tasks.detection.matching import PASSED, RIGHT, Verdict

# pycocotools, Params.setDetParams
COCO_RECALLS = np.linspace(0, 1, 101)
# Everingham et al. 2010, section 4.2. Divided, because .1 * 3 is more than 3 / 10: recall .3 would be passed over.
VOC_RECALLS = np.arange(11) / 10


class Counts(NamedTuple):
    """Answers and truths.

    Attributes:
        right: answers that are right.
        answered: answers.
        truths: objects to find.
    """

    right: int
    answered: int
    truths: int

    @property
    def precision(self) -> float | None:
        """The part of the answers that is right; None where there are none."""
        return self.right / self.answered if self.answered else None

    @property
    def recall(self) -> float | None:
        """The part of the objects that was found; None where there are none."""
        return self.right / self.truths if self.truths else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of the two; None where there are neither answers nor objects."""
        both = self.answered + self.truths
        return 2 * self.right / both if both else None


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The answers of a class that count, best first.

    Attributes:
        scores: (n,) float32, falling.
        right: (n,) int64, how many of the first 1, 2, … n are right.
        truths: how many objects there are to find.
    """

    scores: npt.NDArray[np.float32]
    right: npt.NDArray[np.int64]
    truths: int

    @classmethod
    def of(cls, scores: npt.NDArray[np.float32], verdicts: Verdict, truths: int) -> "Curve":
        """Returns the curve of answers in the order of their images.

        Args:
            scores: (n,) of one class.
            verdicts: (n,) RIGHT, FALSE or PASSED.
            truths: how many objects there are to find.

        >>> curve = Curve.of(np.float32([0.9, 0.5, 0.7]), np.int8([1, 1, 0]), 4)
        >>> curve.precision.round(3).tolist(), curve.recall.tolist()
        ([1.0, 0.5, 0.667], [0.25, 0.25, 0.5])
        """
        counted = verdicts != PASSED
        scores, verdicts = scores[counted], verdicts[counted]
        order = np.argsort(-scores, kind="stable")
        return cls(scores[order], np.cumsum(verdicts[order] == RIGHT, dtype=np.int64), truths)

    @property
    def answered(self) -> npt.NDArray[np.int64]:
        """How many answers are taken: 1, 2, … n."""
        return np.arange(1, len(self.right) + 1)

    @property
    def precision(self) -> npt.NDArray[np.float64]:
        """The part of the answers that is right, (n,)."""
        found: npt.NDArray[np.float64] = self.right / self.answered
        return found

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """The part of the objects that is found, (n,); there must be objects."""
        found: npt.NDArray[np.float64] = self.right / self.truths
        return found

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        """The harmonic mean of the two, (n,)."""
        found: npt.NDArray[np.float64] = 2 * self.right / (self.answered + self.truths)
        return found

    @property
    def ends(self) -> npt.NDArray[np.bool_]:
        """Whether the next score is a lower one, (n,): no threshold parts answers of equal scores."""
        return np.append(self.scores[1:] < self.scores[:-1], True)[: len(self.scores)]

    def at(self, threshold: float) -> Counts:
        """Returns what is answered with that score or a higher one."""
        answered = int(np.count_nonzero(self.scores >= threshold))
        return Counts(int(self.right[answered - 1]) if answered else 0, answered, self.truths)


def interpolated_precision(curve: Curve, recalls: npt.NDArray[np.float64]) -> float:
    """Returns the mean of `precision_at` some recalls.

    With `VOC_RECALLS` that is the average precision of Pascal VOC up to 2009, with `COCO_RECALLS` COCO's.

    Args:
        curve: with objects to find.
        recalls: (k,) ascending; one that is not reached counts as 0.

    Reference:
        Everingham et al. 2010, "The Pascal Visual Object Classes (VOC) Challenge", section 4.2; pycocotools,
        COCOeval.accumulate.
    """
    return float(precision_at(curve, recalls).mean())


def precision_at(curve: Curve, recalls: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the highest precision that is had at each recall or a higher one, (k,).

    Args:
        curve: with objects to find.
        recalls: (k,) 0 to 1; where one is not reached the precision is 0.
    """
    found: npt.NDArray[np.float64] = np.append(_highest_to_come(curve), 0.0)[np.searchsorted(curve.recall, recalls)]
    return found


def area_under(curve: Curve) -> float:
    """Returns the area under the curve of the highest precision to come: Pascal VOC's average precision since 2010.

    Args:
        curve: with objects to find.

    Reference:
        Everingham et al. 2015, "The Pascal Visual Object Classes Challenge: A Retrospective"; its development kit,
        VOCap.m.
    """
    return float((np.diff(curve.recall, prepend=0.0) * _highest_to_come(curve)).sum())


def _highest_to_come(curve: Curve) -> npt.NDArray[np.float64]:
    return np.maximum.accumulate(curve.precision[::-1])[::-1]
