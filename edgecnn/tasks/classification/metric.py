"""What a classifier's answers are worth: the accuracy that files are judged by, and all that an evaluation shows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from edgecnn.evaluation.metrics import ClassShare, shown_part
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.tasks.classification import Classification
from edgecnn_runtime.tasks.scores import top_k

TOP_K = 5


@dataclass(frozen=True, slots=True)
class ClassMetrics(ClassShare):
    """One class's share.

    Attributes:
        precision: of the images put into this class, the part that belongs there; None where none was put there.
        recall: of the images that belong to this class, the part that was put there; None where there are none.
        support: how many images belong to it.
    """

    precision: float | None
    recall: float | None
    support: int


@dataclass(frozen=True, slots=True, eq=False)
class ClassificationEvaluation:
    """What a classifier's answers over labelled images come to.

    Attributes:
        images: how many.
        accuracy: the part whose best class is the true one, 0 to 1.
        top5: the part whose true class is among the five best (of equal scores the lower class id counts as better);
            None below 5 classes, and always 1.0 with exactly 5.
        per_class: one entry a class, in the model's order.
        confusion: (classes, classes) int64, images by true class (row) and best class (column).
        skipped: how many more were left out, because they cannot be decoded.
    """

    images: int
    accuracy: float
    top5: float | None
    per_class: tuple[ClassMetrics, ...]
    confusion: npt.NDArray[np.int64]
    skipped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object: images, skipped, accuracy, top5, per_class (name, class, …), confusion."""
        return {
            "images": self.images,
            "skipped": self.skipped,
            "accuracy": self.accuracy,
            "top5": self.top5,
            "per_class": [entry.to_dict() for entry in self.per_class],
            "confusion": self.confusion.tolist(),
        }

    def headline(self) -> str:
        """Returns accuracy and top-5 in a few words."""
        return f"accuracy {self.accuracy:.4f}{'' if self.top5 is None else f', top-5 {self.top5:.4f}'}"

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Returns the columns and the rows of what people read besides."""
        rows = [
            [
                entry.title,
                shown_part(entry.precision),
                shown_part(entry.recall),
                str(entry.support),
            ]
            for entry in self.per_class
        ]
        return ["class", "precision", "recall", "images"], rows


class Accuracy:
    """The part of the images whose best class is the true one, and what else an evaluation shows.

    Args:
        manifest: of the model.

    Attributes:
        manifest: by which answers are decoded for this metric: the model's.
    """

    name = "accuracy"

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._true: list[npt.NDArray[np.int64]] = []
        self._answered: list[int] = []
        self._in_top5: list[bool] = []

    def update(self, results: Sequence[Classification], truths: npt.NDArray[np.integer[Any]]) -> None:
        """Adds a batch: N results and their true class ids, (N,)."""
        self._true.append(np.asarray(truths, np.int64))
        self._answered += [result.class_id for result in results]
        self._in_top5 += [
            bool(true in top_k(result.scores, TOP_K)) for result, true in zip(results, truths, strict=True)
        ]

    def value(self) -> float:
        """Returns the accuracy so far, 0 to 1."""
        right = self.scores()
        return float(right.sum()) / max(len(right), 1)

    def scores(self) -> npt.NDArray[np.float64]:
        """Returns 1 for each image that was answered right and 0 for the others, (N,)."""
        right: npt.NDArray[np.bool_] = np.array(self._answered, np.int64) == self._trues()
        return right.astype(np.float64)

    image_scores = scores

    def evaluation(self, *, skipped: int = 0) -> ClassificationEvaluation:
        """Returns all that the answers so far come to; there must be some.

        Args:
            skipped: how many images were left out.
        """
        count = self.manifest.num_classes
        return score_answers(
            self._trues(),
            np.array(self._answered, np.int64),
            num_classes=count,
            labels=self.manifest.labels,
            in_top5=np.array(self._in_top5, bool) if count >= TOP_K else None,
            skipped=skipped,
        )

    def _trues(self) -> npt.NDArray[np.int64]:
        return np.concatenate([*self._true, np.empty(0, np.int64)])


def score_answers(
    true: npt.NDArray[np.int64],
    answered: npt.NDArray[np.int64],
    *,
    num_classes: int,
    labels: tuple[str, ...] | None,
    in_top5: npt.NDArray[np.bool_] | None = None,
    skipped: int = 0,
) -> ClassificationEvaluation:
    """Compares answers with the truth.

    Args:
        true: (N,) class ids, N at least 1.
        answered: (N,) class ids, the best class of each image.
        num_classes: of the model.
        labels: one name a class, or None.
        in_top5: (N,), whether the true class is among the five best; None below 5 classes.
        skipped: images that were left out.

    Returns:
        The evaluation of N images.

    Reference:
        scikit-learn, sklearn.metrics.precision_recall_fscore_support.

    Example:
        >>> true, answered = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
        >>> evaluation = score_answers(true, answered, num_classes=2, labels=("cat", "dog"))
        >>> evaluation.accuracy, evaluation.per_class[0].precision, evaluation.confusion.tolist()
        (0.75, 1.0, [[1, 1], [0, 2]])
    """
    classes = np.arange(num_classes)
    precision, recall, _, support = precision_recall_fscore_support(
        true, answered, labels=classes, zero_division=np.nan
    )
    per_class = tuple(
        ClassMetrics(
            name=None if labels is None else labels[i],
            class_id=i,
            precision=_or_none(precision[i]),
            recall=_or_none(recall[i]),
            support=int(support[i]),
        )
        for i in range(num_classes)
    )
    return ClassificationEvaluation(
        images=len(true),
        accuracy=float(accuracy_score(true, answered)),
        top5=None if in_top5 is None else float(in_top5.mean()),
        per_class=per_class,
        confusion=confusion_matrix(true, answered, labels=classes).astype(np.int64),
        skipped=skipped,
    )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
