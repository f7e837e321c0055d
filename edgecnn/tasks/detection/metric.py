"""What answers with many boxes are worth: the AP50 that files are judged by, and all that an evaluation shows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets import Objects
from edgecnn.tasks.detection.curves import (
    COCO_RECALLS,
    VOC_RECALLS,
    Counts,
    Curve,
    area_under,
    interpolated_precision,
)
from edgecnn.tasks.detection.matching import IOU_THRESHOLDS, LEAST_IOU, PASSED, RIGHT, Judged, ScoredBoxes, judge
from edgecnn_runtime.manifest import Manifest

# What a device never shows still counts: average precision goes down to the recall that is reached with the lowest
# scores. darknet and others take this threshold; lower ones move AP by less than they cost in time.
LEAST_SCORE = 0.001


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class's share; what is read from no objects or no answers is None.

    Attributes:
        name: the label; None for a model that never saw data.
        class_id: its index in the model's output.
        ap50: COCO's average precision at an IoU of .5, over 101 recalls.
        ap50_95: the mean of that at IoUs of .5, .55 … .95.
        ap_11_point: Pascal VOC's until 2009, over 11 recalls.
        ap_all: Pascal VOC's since 2010, the area under the curve.
        score_threshold: the lowest score that the device answers with, which the next three are of.
        precision: of the answers, the part that is right: an object of this class, with an IoU of .5 or more.
        recall: of the objects, the part that was found.
        f1: the harmonic mean of the two.
        support: how many objects there are, without crowds and difficult ones.
    """

    name: str | None
    class_id: int
    ap50: float | None
    ap50_95: float | None
    ap_11_point: float | None
    ap_all: float | None
    score_threshold: float
    precision: float | None
    recall: float | None
    f1: float | None
    support: int

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object of one class; its id is called "class", as in results."""
        tree = asdict(self)
        return {"name": tree.pop("name"), "class": tree.pop("class_id"), **tree}


@dataclass(frozen=True, slots=True, eq=False)
class DetectionEvaluation:
    """What a detector's answers over labelled images come to.

    The four average precisions are means over the classes that have objects, and None where none has.

    Attributes:
        images: how many.
        ap50: as `ClassMetrics` has it, like the three that follow.
        ap50_95: likewise.
        ap_11_point: likewise.
        ap_all: likewise.
        precision: of all answers that the device gives, whatever the class, the part that is right; None without any.
        recall: of all objects, the part that was found; None without any.
        f1: the harmonic mean of the two; None without both.
        per_class: one entry a class, in the model's order.
        curves: one a class, of all answers from a score of `LEAST_SCORE` on, as precision and recall count them.
        skipped: how many more images were left out, because they cannot be decoded.
    """

    images: int
    ap50: float | None
    ap50_95: float | None
    ap_11_point: float | None
    ap_all: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    per_class: tuple[ClassMetrics, ...]
    curves: tuple[Curve, ...]
    skipped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object: images, skipped, the four AP, precision, recall, f1, per_class (name, class, …)."""
        return {
            "images": self.images,
            "skipped": self.skipped,
            "ap50": self.ap50,
            "ap50_95": self.ap50_95,
            "ap_11_point": self.ap_11_point,
            "ap_all": self.ap_all,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "per_class": [entry.to_dict() for entry in self.per_class],
        }

    def headline(self) -> str:
        """Returns AP, and precision and recall as the device answers, in a few words."""
        return (
            f"AP50 {_told(self.ap50)}, AP50:95 {_told(self.ap50_95)}, precision {_told(self.precision)}, "
            f"recall {_told(self.recall)}, F1 {_told(self.f1)} (IoU {LEAST_IOU})"
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Returns the columns and the rows of what people read besides."""
        rows = [
            [
                f"class {entry.class_id}" if entry.name is None else entry.name,
                *map(_told, (entry.ap50, entry.ap50_95, entry.ap_11_point, entry.precision, entry.recall, entry.f1)),
                f"{entry.score_threshold:.3g}",
                str(entry.support),
            ]
            for entry in self.per_class
        ]
        return ["class", "AP50", "AP50:95", "AP 11", "precision", "recall", "F1", "from score", "objects"], rows


class AveragePrecision:
    """COCO's AP50, the mean over the classes that have objects, and what else an evaluation shows.

    Average precision asks for all answers, down to those of the lowest scores; the device shows those from a threshold
    on. So what is fed here is decoded by `manifest`, which differs from the model's in its threshold alone, and
    precision, recall and F1 are counted from the model's own threshold on, or from each class's operating point.

    Args:
        manifest: of the model.

    Attributes:
        manifest: by which answers are decoded for this metric.
    """

    name = "ap50"

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = measured(manifest)
        decoder: Any = manifest.decoder
        self._labels, self._thresholds = manifest.labels, decoder.thresholds(manifest.num_classes)
        self._judged: list[Judged] = []
        self._image_scores: list[float] = []
        self._coco_truths = np.zeros(manifest.num_classes, np.int64)
        self._truths = np.zeros(manifest.num_classes, np.int64)

    def update(self, results: Sequence[ScoredBoxes], truths: Sequence[Objects]) -> None:
        """Adds a batch: N results, and the objects of their images."""
        for found, truth in zip(results, truths, strict=True):
            judged = judge(found, truth)
            self._judged.append(judged)
            self._coco_truths += np.bincount(truth.class_ids[~truth.crowd], minlength=len(self._coco_truths))
            counted = truth.class_ids[~(truth.crowd | truth.difficult)]
            self._truths += np.bincount(counted, minlength=len(self._truths))
            f1 = _counts(judged, self._thresholds, len(counted)).f1
            self._image_scores.append(1.0 if f1 is None else f1)

    def value(self) -> float:
        """Returns the AP50 so far, 0 to 1; 0 where there are no objects."""
        judged = Judged.joined(self._judged)
        found = [self._coco(judged, class_id, 0) for class_id in range(len(self._coco_truths))]
        return _mean(found) or 0.0

    def scores(self) -> None:
        """Returns None: AP is no mean over images."""

    def image_scores(self) -> npt.NDArray[np.float64]:
        """Returns the F1 of each image as the device answers, (N,); 1 where there is nothing to find and none found."""
        return np.array(self._image_scores, np.float64)

    def evaluation(self, *, skipped: int = 0) -> DetectionEvaluation:
        """Returns all that the answers so far come to.

        Args:
            skipped: how many images were left out.
        """
        judged = Judged.joined(self._judged)
        curves = [self._curve(judged, class_id) for class_id in range(len(self._truths))]
        entries = tuple(self._class_metrics(judged, class_id, curve) for class_id, curve in enumerate(curves))
        pooled = _counts(judged, self._thresholds, int(self._truths.sum()))
        return DetectionEvaluation(
            images=len(self._image_scores),
            ap50=_mean([entry.ap50 for entry in entries]),
            ap50_95=_mean([entry.ap50_95 for entry in entries]),
            ap_11_point=_mean([entry.ap_11_point for entry in entries]),
            ap_all=_mean([entry.ap_all for entry in entries]),
            precision=pooled.precision,
            recall=pooled.recall,
            f1=pooled.f1,
            per_class=entries,
            curves=tuple(curves),
            skipped=skipped,
        )

    def _class_metrics(self, judged: Judged, class_id: int, curve: Curve) -> ClassMetrics:
        own, threshold = judged.class_ids == class_id, self._thresholds[class_id]
        by_iou = [self._coco(judged, class_id, level) for level in range(len(IOU_THRESHOLDS))]
        voc = Curve.of(judged.scores[own], judged.voc[own], curve.truths) if curve.truths else None
        counts = curve.at(threshold)
        return ClassMetrics(
            name=None if self._labels is None else self._labels[class_id],
            class_id=class_id,
            ap50=by_iou[0],
            ap50_95=_mean(by_iou),
            ap_11_point=None if voc is None else interpolated_precision(voc, VOC_RECALLS),
            ap_all=None if voc is None else area_under(voc),
            score_threshold=threshold,
            precision=counts.precision,
            recall=counts.recall,
            f1=counts.f1,
            support=counts.truths,
        )

    def _curve(self, judged: Judged, class_id: int) -> Curve:
        own = judged.class_ids == class_id
        return Curve.of(judged.scores[own], judged.plain[own], int(self._truths[class_id]))

    def _coco(self, judged: Judged, class_id: int, level: int) -> float | None:
        """Returns COCO's average precision of a class at one IoU; None where it has no objects."""
        own, truths = judged.class_ids == class_id, int(self._coco_truths[class_id])
        if not truths:
            return None
        return interpolated_precision(Curve.of(judged.scores[own], judged.coco[own, level], truths), COCO_RECALLS)


def measured(manifest: Manifest) -> Manifest:
    """Returns the manifest by which answers are decoded that are to be measured: all from `LEAST_SCORE` on.

    Args:
        manifest: of a detector; what it says besides of its decoding stays.
    """
    decoder: Any = manifest.decoder
    least = min(LEAST_SCORE, decoder.score_threshold)
    return replace(manifest, decoder=replace(decoder, score_threshold=least, operating_points=None))


def shown(found: ScoredBoxes | Judged, thresholds: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Returns which answers the device gives, (n,): those from the threshold of their class on.

    Args:
        found: answers, down to the lowest scores.
        thresholds: one a class, as the decoder says them.
    """
    least = np.array(thresholds, np.float32)  # scores are float32: .3 is then no less than .3
    kept: npt.NDArray[np.bool_] = found.scores >= least[found.class_ids]
    return kept


def _counts(judged: Judged, thresholds: Sequence[float], truths: int) -> Counts:
    """Returns what the answers that the device gives come to."""
    given = judged.plain[shown(judged, thresholds)]
    return Counts(int((given == RIGHT).sum()), int((given != PASSED).sum()), truths)


def _mean(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
