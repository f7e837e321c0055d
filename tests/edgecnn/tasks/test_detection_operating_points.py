"""The thresholds with the best F1, against trying all of them."""

import numpy as np
import pytest
from detections import Detections, DetectorManifest, random_scenes

from edgecnn.data.targets import Objects
from edgecnn.tasks.detection.curves import Curve
from edgecnn.tasks.detection.matching import FALSE, PASSED, RIGHT
from edgecnn.tasks.detection.metric import AveragePrecision
from edgecnn.tasks.detection.operating_points import find_operating_points


def counted(scores, verdicts, truths, threshold):
    """Right answers, precision, recall and F1 of those from a threshold on, as one counts on one's fingers."""
    taken = [
        verdict for score, verdict in zip(scores, verdicts, strict=True) if score >= threshold and verdict != PASSED
    ]
    right = sum(verdict == RIGHT for verdict in taken)
    missed, false = truths - right, len(taken) - right
    return right / len(taken) if taken else None, right / truths, 2 * right / (2 * right + missed + false)


@pytest.mark.parametrize("seed", range(200))
def test_the_best_f1_of_all_thresholds_is_found_and_of_equal_ones_the_highest(seed):
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 12))
    scores = (random.integers(1, 7, count) / 8).astype(np.float32)  # many are equal
    verdicts = random.choice([RIGHT, FALSE, PASSED], count, p=[0.5, 0.4, 0.1]).astype(np.int8)
    truths = int((verdicts == RIGHT).sum()) + int(random.integers(0, 3))
    found = find_operating_points([Curve.of(scores, verdicts, truths)])
    if not (verdicts == RIGHT).any():
        assert found == ()
        return
    (point,) = found
    tried = np.arange(0, 65) / 64  # scores are eighths: all that can be told apart, and what lies between
    best = max(counted(scores, verdicts, truths, threshold)[2] for threshold in tried)
    highest = max(threshold for threshold in tried if counted(scores, verdicts, truths, threshold)[2] == best)
    assert (point.precision, point.recall, best) == counted(scores, verdicts, truths, point.score)
    assert counted(scores, verdicts, truths, highest)[:2] == (point.precision, point.recall)
    lower = scores[(scores < highest) & (verdicts != PASSED)]
    assert point.score == (highest if not len(lower) else (highest + lower.max()) / 2)


def test_points_are_found_in_an_evaluation_class_by_class():
    found, truths = random_scenes(4, images=20)
    metric = AveragePrecision(DetectorManifest())
    metric.update(found, truths)
    points = find_operating_points(metric.evaluation().curves)
    assert [point.class_id for point in points] == [0, 1, 2]  # no image shows an elk
    told = metric.evaluation().per_class
    assert all(point.recall > 0 and 0 <= point.score < 1 for point in points)
    assert any(point.score != entry.score_threshold for point, entry in zip(points, told, strict=False))


def test_a_class_without_objects_and_one_without_a_right_answer_have_no_point():
    metric = AveragePrecision(DetectorManifest())
    box, far = (0, 0, 9, 9), (20, 20, 29, 29)
    metric.update(
        [Detections.of((0, 0.9, box), (1, 0.9, far), (2, 0.5, far))], [Objects.of([box, box, far], [0, 1, 2])]
    )
    points = find_operating_points(metric.evaluation().curves)
    assert [(point.class_id, point.score) for point in points] == [(0, pytest.approx(0.9)), (2, 0.5)]
    assert find_operating_points([]) == ()


@pytest.mark.parametrize("lower", [np.nextafter(np.float32(0.5), np.float32(0)), np.float32(0.4999999)])
def test_two_scores_without_room_between_them_are_still_told_apart(lower):
    curve = Curve.of(np.float32([0.5, lower]), np.int8([RIGHT, FALSE]), 1)
    (point,) = find_operating_points([curve])
    assert np.float32(0.5) >= np.float32(point.score) > lower
    assert (point.precision, point.recall) == (1, 1)


def test_a_threshold_is_below_1():
    (point,) = find_operating_points([Curve.of(np.float32([1.0]), np.int8([RIGHT]), 1)])
    assert (0.999 < point.score < 1, point.precision, point.recall) == (True, 1, 1)
