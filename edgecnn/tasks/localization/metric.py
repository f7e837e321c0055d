"""What a localizer's answers are worth: the mean IoU that files are judged by, and all that an evaluation shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets import Objects
from edgecnn.evaluation.metrics import ClassShare, shown_part
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.tasks.boxes import iou
from edgecnn_runtime.tasks.localization import Localization

LEAST_IOU = 0.5  # of a box that counts as right; Everingham et al. 2010, The Pascal Visual Object Classes Challenge


@dataclass(frozen=True, slots=True)
class ClassMetrics(ClassShare):
    """One class's share.

    Attributes:
        recall: of the images that show this class, the part that was put there; None where there are none.
        mean_iou: of those images' boxes; None where there are none.
        right: of those images, the part that is right in class and box; None where there are none.
        support: how many images show it.
    """

    recall: float | None
    mean_iou: float | None
    right: float | None
    support: int


@dataclass(frozen=True, slots=True)
class LocalizationEvaluation:
    """What a localizer's answers over labelled images come to.

    Attributes:
        images: how many.
        accuracy: the part whose best class is the true one, 0 to 1.
        mean_iou: the mean intersection over union of the boxes, in pixels of the displayed images, whatever the class.
        right: the part that is right in both: the true class, and an IoU of .5 or more.
        per_class: one entry a class, in the model's order.
        skipped: how many more were left out, because they cannot be decoded.
    """

    images: int
    accuracy: float
    mean_iou: float
    right: float
    per_class: tuple[ClassMetrics, ...]
    skipped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object: images, skipped, accuracy, mean_iou, right, per_class (name, class, …)."""
        return {
            "images": self.images,
            "skipped": self.skipped,
            "accuracy": self.accuracy,
            "mean_iou": self.mean_iou,
            "right": self.right,
            "per_class": [entry.to_dict() for entry in self.per_class],
        }

    def headline(self) -> str:
        """Returns mean IoU, accuracy and the part that is right in both in a few words."""
        return (
            f"mean IoU {self.mean_iou:.4f}, accuracy {self.accuracy:.4f}, right in class and box (IoU {LEAST_IOU}) "
            f"{self.right:.4f}"
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Returns the columns and the rows of what people read besides."""
        rows = [
            [
                entry.title,
                *map(shown_part, (entry.recall, entry.mean_iou, entry.right)),
                str(entry.support),
            ]
            for entry in self.per_class
        ]
        return ["class", "recall", "mean IoU", "right", "images"], rows


class MeanIoU:
    """The mean IoU of the answered boxes with the true ones, and what else an evaluation shows.

    Args:
        manifest: of the model.

    Attributes:
        manifest: by which answers are decoded for this metric: the model's.
    """

    name = "mean_iou"

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._true: list[int] = []
        self._answered: list[int] = []
        self._ious: list[float] = []

    def update(self, results: Sequence[Localization], truths: Sequence[Objects]) -> None:
        """Adds a batch: N results, and the one object of each of their images.

        Raises:
            ValueError: an image has no object, or several; `edgecnn.data.narrowing.largest_boxes` leaves one.
        """
        for result, truth in zip(results, truths, strict=True):
            if len(truth) != 1:
                raise ValueError(f"truths: expected one object an image, received {len(truth)}")
            self._true.append(int(truth.class_ids[0]))
            self._answered.append(result.class_id)
            self._ious.append(float(iou(result.box, truth.boxes[0])))

    def value(self) -> float:
        """Returns the mean IoU so far, 0 to 1."""
        return float(self.scores().sum()) / max(len(self._ious), 1)

    def scores(self) -> npt.NDArray[np.float64]:
        """Returns each image's IoU, (N,)."""
        return np.array(self._ious, np.float64)

    image_scores = scores

    def evaluation(self, *, skipped: int = 0) -> LocalizationEvaluation:
        """Returns all that the answers so far come to; there must be some.

        Args:
            skipped: how many images were left out.
        """
        true, ious = np.array(self._true, np.int64), self.scores()
        known = true == np.array(self._answered, np.int64)  # (N,)
        right = known & (ious >= LEAST_IOU)
        labels = self.manifest.labels
        per_class = []
        for class_id in range(self.manifest.num_classes):
            own = true == class_id
            shares = [float(part[own].mean()) if own.any() else None for part in (known, ious, right)]
            name = None if labels is None else labels[class_id]
            per_class.append(ClassMetrics(name, class_id, shares[0], shares[1], shares[2], int(own.sum())))
        return LocalizationEvaluation(
            len(true), float(known.mean()), self.value(), float(right.mean()), tuple(per_class), skipped
        )
