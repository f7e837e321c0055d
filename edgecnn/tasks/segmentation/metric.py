"""What class maps are worth: the mean IoU that files are judged by, and all that an evaluation shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets import IGNORE
from edgecnn.errors import UsageError
from edgecnn.evaluation.metrics import ClassShare, shown_part
from edgecnn.tasks.segmentation.boundaries import BoundaryCounts, count_boundary
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.tasks.segmentation import Segmentation


@dataclass(frozen=True, slots=True)
class ClassMetrics(ClassShare):
    """One class's share; pixels of which the data say nothing do not count.

    Attributes:
        iou: of its true and its answered pixels, over all images, the part that is both; None where there are neither.
        dice: twice those that are both, as a part of the sum; None likewise.
        boundary_f1: of its outlines; None where no image shows it and none was answered.
        pixels: that are truly of it.
    """

    iou: float | None
    dice: float | None
    boundary_f1: float | None
    pixels: int


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationEvaluation:
    """What a segmenter's answers over labelled images come to.

    Attributes:
        images: how many.
        mean_iou: the mean over the classes that there are, in the truth or in the answers.
        mean_dice: likewise.
        pixel_accuracy: the part of the pixels whose class is the true one. Where one class covers most of every image,
            it is high for an answer of that class everywhere.
        boundary_f1: the mean over the classes of the F1 of their outlines.
        per_class: one entry a class, in the model's order.
        confusion: (classes, classes) int64, pixels of each true class (row) that were answered as each class (column).
        skipped: how many more images were left out, because they cannot be decoded.
    """

    images: int
    mean_iou: float
    mean_dice: float
    pixel_accuracy: float
    boundary_f1: float | None
    per_class: tuple[ClassMetrics, ...]
    confusion: npt.NDArray[np.int64]
    skipped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object."""
        return {
            "images": self.images,
            "skipped": self.skipped,
            "mean_iou": self.mean_iou,
            "mean_dice": self.mean_dice,
            "pixel_accuracy": self.pixel_accuracy,
            "boundary_f1": self.boundary_f1,
            "per_class": [entry.to_dict() for entry in self.per_class],
            "confusion": self.confusion.tolist(),
        }

    def headline(self) -> str:
        """Returns mean IoU, mean dice, the F1 of outlines and the pixel accuracy in a few words."""
        return (
            f"mean IoU {self.mean_iou:.4f}, mean dice {self.mean_dice:.4f}, boundary F1 "
            f"{shown_part(self.boundary_f1)}, pixel accuracy {self.pixel_accuracy:.4f}"
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Returns the columns and the rows of what people read besides."""
        rows = [
            [entry.title, *map(shown_part, (entry.iou, entry.dice, entry.boundary_f1)), f"{entry.pixels:,}"]
            for entry in self.per_class
        ]
        return ["class", "IoU", "dice", "boundary F1", "pixels"], rows


class ClassMapIoU:
    """The mean IoU of the answered class maps with the true ones, and what else an evaluation shows.

    The pixels of all images are counted together, as the benchmarks of the field have it, so it is no mean over images.

    Args:
        manifest: of the model.

    Reference:
        Everingham et al. 2015, "The PASCAL Visual Object Classes Challenge: A Retrospective", section 3.
    """

    name = "mean_iou"

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        classes = manifest.num_classes
        self._confusion = np.zeros((classes, classes), np.int64)
        self._boundaries = BoundaryCounts.empty(classes)
        self._image_scores: list[float] = []

    def update(self, results: Sequence[Segmentation], truths: Sequence[npt.NDArray[np.uint8]]) -> None:
        """Adds a batch: N results, and the class map of each of their images, with `IGNORE` where nothing is said.

        Raises:
            ValueError: a class map has another size than its image.
        """
        for result, truth in zip(results, truths, strict=True):
            if truth.shape != result.class_map.shape:
                raise ValueError(f"truths: expected a mask of {result.class_map.shape}, received {truth.shape}")
            confusion = count_pixels(truth, result.class_map, len(self._confusion))
            self._confusion += confusion
            self._boundaries += count_boundary(truth, result.class_map, len(self._confusion))
            self._image_scores.append(_mean(ious(confusion)))

    def value(self) -> float:
        """Returns the mean IoU so far, 0 to 1.

        Raises:
            UsageError: the data say nothing of any pixel, as those do whose truth is kept secret; any answer is right.
        """
        if not self._confusion.any():
            raise UsageError(
                f"masks: expected a pixel to judge by that is not ignored, received none in {len(self._image_scores)} "
                "images. Give another part or other data"
            )
        return _mean(ious(self._confusion))

    def scores(self) -> None:
        """Returns None: the metric is no mean over images."""
        return

    def image_scores(self) -> npt.NDArray[np.float64]:
        """Returns the mean IoU of each image alone, (N,); 1 where the data say nothing of it."""
        return np.array(self._image_scores, np.float64)

    def evaluation(self, *, skipped: int = 0) -> SegmentationEvaluation:
        """Returns all that the answers so far come to; there must be some.

        Args:
            skipped: how many images were left out.

        Raises:
            UsageError: as `value` does.
        """
        right, true = np.diag(self._confusion), self._confusion.sum(axis=1)
        of_iou, of_dice = ious(self._confusion), _parts(2 * right, true + self._confusion.sum(axis=0))
        of_outline, labels = self._boundaries.f1(), self.manifest.labels
        per_class = tuple(
            ClassMetrics(
                None if labels is None else labels[class_id],
                class_id,
                iou=_told(of_iou[class_id]),
                dice=_told(of_dice[class_id]),
                boundary_f1=_told(of_outline[class_id]),
                pixels=int(true[class_id]),
            )
            for class_id in range(len(true))
        )
        outlined = of_outline[~np.isnan(of_outline)]
        return SegmentationEvaluation(
            images=len(self._image_scores),
            mean_iou=self.value(),
            mean_dice=_mean(of_dice),
            pixel_accuracy=float(right.sum() / true.sum()),
            boundary_f1=float(outlined.mean()) if outlined.size else None,
            per_class=per_class,
            confusion=self._confusion.copy(),
            skipped=skipped,
        )


def count_pixels(truth: npt.NDArray[np.uint8], answer: npt.NDArray[np.uint8], classes: int) -> npt.NDArray[np.int64]:
    """Returns how many pixels of each true class (row) were answered as each class (column), (classes, classes).

    Args:
        truth: (H, W) class ids, and `IGNORE` for pixels that do not count.
        answer: (H, W) class ids.
        classes: how many there are.

    Example:
        >>> count_pixels(np.uint8([[0, 1, 1, 255]]), np.uint8([[0, 1, 0, 1]]), 2).tolist()
        [[1, 0], [1, 1]]
    """
    said = truth != IGNORE
    pairs = truth[said].astype(np.int64) * classes + answer[said]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def ious(confusion: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Returns the IoU of each class, (classes,); NaN of one that is neither in the truth nor in the answers.

    Args:
        confusion: as `count_pixels` returns it.
    """
    right = np.diag(confusion)
    return _parts(right, confusion.sum(axis=0) + confusion.sum(axis=1) - right)


def _parts(some: npt.NDArray[np.int64], of: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = np.divide(some, of, out=np.full(len(of), np.nan), where=of > 0)
    return found


def _told(part: np.float64) -> float | None:
    return None if np.isnan(part) else float(part)


def _mean(parts: npt.NDArray[np.float64]) -> float:
    """Returns the mean of the classes that are there, 1 where none is: nothing was asked, and nothing is wrong."""
    there = parts[~np.isnan(parts)]
    return float(there.mean()) if there.size else 1.0
