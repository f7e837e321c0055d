"""From which score on a device answers best, class by class."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgecnn.tasks.detection.curves import Curve
from edgecnn.tasks.detection.metric import AveragePrecision
from edgecnn_runtime.decoders import OperatingPoint
from edgecnn_runtime.manifest import Manifest

_HIGHEST = float(np.nextafter(np.float32(1), np.float32(0)))  # a threshold is below 1


def settled(manifest: Manifest, metric: AveragePrecision) -> Manifest:
    """Returns the manifest that a file is written with: with the operating points of its own answers.

    They are found anew, all of them: points that the manifest has already are of other data, or of another file.

    Args:
        manifest: of the file.
        metric: fed with its answers.
    """
    decoder: Any = manifest.decoder
    points = find_operating_points(metric.evaluation().curves)
    return replace(manifest, decoder=replace(decoder, operating_points=points or None))


def find_operating_points(curves: Sequence[Curve]) -> tuple[OperatingPoint, ...]:
    """Returns the score threshold with the best F1, of each class that has one, in the order of the classes.

    - Answers of equal scores are taken together: no threshold tells them apart.
    - Of thresholds with equal F1 the highest is taken: the fewest answers, and so the highest precision.
    - The threshold lies halfway between the lowest score that is taken and the highest that is not, so that a score may
      move by rounding, in a file of fewer bits, say, without an answer appearing or getting lost. Where all are taken
      it is the lowest of them.
    - A class without objects, or without a right answer, gets none: no threshold is better than another, so the device
      keeps the one that it has for all classes.

    Args:
        curves: one a class, as a `DetectionEvaluation` has them.

    >>> curve = Curve(np.float32([0.75, 0.5, 0.25]), np.array([1, 2, 2]), 2)
    >>> find_operating_points([curve])
    (OperatingPoint(class_id=0, score=0.375, precision=1.0, recall=1.0),)
    """
    points = []
    for class_id, curve in enumerate(curves):
        if curve.truths and curve.right.any():
            score = _best_threshold(curve)
            counts = curve.at(score)
            points.append(OperatingPoint(class_id, score, counts.precision, counts.recall))
    return tuple(points)


def _best_threshold(curve: Curve) -> float:
    best = int(np.where(curve.ends, curve.f1, -1.0).argmax())  # of equal ones the first
    taken, left = curve.scores[best], curve.scores[best + 1 : best + 2]
    between = np.float32((float(taken) + float(left[0])) / 2) if len(left) else taken
    if len(left) and between <= left[0]:  # no float32 lies between the two
        between = taken
    return min(float(between), _HIGHEST)
