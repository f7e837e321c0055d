import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.boxes import area, in_images, iou, non_max_suppression, to_cxcywh, to_xyxy

SIDE = 12
CELLS = st.integers(0, SIDE)
CELL_BOXES = st.tuples(CELLS, CELLS, CELLS, CELLS).map(
    lambda box: (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3]))
)


def painted(box):
    """The box as cells of a grid."""
    grid = np.zeros((SIDE, SIDE), bool)
    grid[box[1] : box[3], box[0] : box[2]] = True
    return grid


@given(first=CELL_BOXES, second=CELL_BOXES)
def test_iou_is_that_of_painted_cells(first, second):
    shared, joined = (painted(first) & painted(second)).sum(), (painted(first) | painted(second)).sum()
    assert iou(np.array(first), np.array(second)) == pytest.approx(shared / joined if joined else 0.0)
    assert area(np.array(first)) == painted(first).sum()


def test_iou_agrees_with_pycocotools():
    mask = pytest.importorskip("pycocotools.mask")
    random = np.random.default_rng(0)
    first, second = (np.sort(random.uniform(0, 100, (20, 2, 2)), axis=1).reshape(20, 4) for _ in range(2))
    sized = [np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1) for boxes in (first, second)]
    expected = mask.iou(*sized, [0] * 20)
    np.testing.assert_allclose(iou(first[:, np.newaxis], second[np.newaxis]), expected, atol=1e-12)


def test_iou_of_a_box_with_itself_is_exactly_one():
    boxes = np.random.default_rng(0).uniform(0, 1, (1000, 4)).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2] + np.float32(1e-3)
    assert (iou(boxes, boxes) == 1).all()


@given(box=st.tuples(*[st.floats(-1e4, 1e4)] * 4))
def test_the_two_ways_to_write_a_box_undo_each_other(box):
    np.testing.assert_allclose(to_cxcywh(to_xyxy(np.array(box))), box, atol=1e-9)


@given(
    size=st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    scale=st.floats(1e-3, 50),
    offset=st.floats(-500, 500),
    corners=st.tuples(*[st.floats(-1000, 1000)] * 4),
)
def test_in_images_gives_boxes_within_the_image_that_are_never_empty(size, scale, offset, corners):
    box = np.array([[*np.sort(corners[:2]), *np.sort(corners[2:])]])[:, [0, 2, 1, 3]]
    height, width = size
    (shown,) = in_images(box, [Placement(size, (scale, scale), (offset, offset))])
    assert shown.dtype == np.float32
    assert 0 <= shown[0] < shown[2] <= width
    assert 0 <= shown[1] < shown[3] <= height
    assert min(shown[2:] - shown[:2]) >= 1 - 1e-3  # float32 of some thousands


def test_in_images_moves_every_box_by_its_own_placement():
    placements = [Placement((10, 20), (1.0, 2.0), (0.0, 0.0)), Placement((100, 50), (0.5, 0.5), (10.0, 5.0))]
    found = in_images(np.array([[2.0, 1.0, 20.0, 9.0], [10.0, 15.0, 20.0, 35.0]]), placements)
    assert found.tolist() == [[1, 1, 10, 9], [10, 10, 30, 50]]


def test_in_images_takes_no_boxes():
    assert in_images(np.zeros((0, 4)), []).shape == (0, 4)


def brute_force(boxes, scores, class_ids, least, most):
    """Greedy suppression, one box after the other, in plain Python."""

    def overlap(a, b):
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(width, 0.0) * max(height, 0.0)
        union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
        return shared / union if union > 0 else 0.0

    kept = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        rivals = [j for j in kept if class_ids is None or class_ids[i] == class_ids[j]]
        if len(kept) < most and all(overlap(boxes[i], boxes[j]) < least for j in rivals):
            kept.append(i)
    return kept


@pytest.mark.parametrize("agnostic", [False, True])
def test_suppression_is_that_of_brute_force_in_1000_cases(agnostic):
    """None holds NaN: decoding refuses it before (`test_an_output_that_is_not_finite_is_no_answer`)."""
    random = np.random.default_rng(int(agnostic))
    for case in range(1000):
        count = int(random.choice([0, 1, 2, 10, 60], p=[0.1, 0.1, 0.2, 0.4, 0.2]))
        spread = random.choice([0, 3, 100])  # all overlapping, pixels alone, far apart
        first = random.integers(0, spread + 1, (count, 2)).astype(np.float32)
        side = random.choice([1, 10, 30]) if case % 3 else 1  # one pixel, or larger
        boxes = np.concatenate([first, first + random.integers(0 if case % 2 else 1, side + 1, (count, 2))], axis=1)
        boxes = boxes.astype(np.float32)
        scores = (
            random.integers(0, 5 if case % 2 else 1000, count).astype(np.float32) / 7
        )  # many ties in each other case
        class_ids = None if agnostic else random.integers(0, 3, count)
        most, least = int(random.choice([1, 5, 300])), float(random.choice([0.5, 0.6, 1.0]))
        found = non_max_suppression(boxes, scores, class_ids, iou_threshold=least, most=most)
        ids = None if agnostic else class_ids.tolist()
        assert found.tolist() == brute_force(boxes.tolist(), scores.tolist(), ids, least, most), case


@pytest.mark.parametrize("classes", [2, 80])
@pytest.mark.parametrize("most", [20, 100_000])
def test_suppression_of_more_boxes_than_a_block_is_that_of_brute_force(most, classes):
    random = np.random.default_rng(3)
    first = random.uniform(0, 200, (900, 2))
    boxes, scores = np.concatenate([first, first + random.uniform(10, 50, (900, 2))], axis=1), random.uniform(size=900)
    class_ids = random.integers(0, classes, 900)
    found = non_max_suppression(boxes, scores, class_ids, iou_threshold=0.3, most=most)
    assert found.tolist() == brute_force(boxes.tolist(), scores.tolist(), class_ids.tolist(), 0.3, most)
    assert most == 20 or 256 < len(found) < 900


@pytest.mark.parametrize("agnostic", [False, True])
def test_suppression_of_5000_boxes_of_which_hardly_any_goes_takes_little_memory(agnostic):
    """Each that stays was compared with each other anew for every block: the cube in time, the square in memory."""
    random = np.random.default_rng(4)
    cells = np.stack(np.divmod(np.arange(5000), 70), axis=1) * 10.0
    boxes = np.concatenate([cells, cells + random.uniform(2, 9, (5000, 2))], axis=1)
    boxes[random.integers(1, 5000, 300)] += [10, 0, 10, 0]  # onto a neighbour
    scores = random.integers(0, 2000, 5000) / 2000  # with ties
    class_ids = None if agnostic else random.integers(0, 2, 5000)
    tracemalloc.start()
    found = non_max_suppression(boxes, scores, class_ids, iou_threshold=0.3, most=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.tolist() == neighbourly(boxes, scores, class_ids, 0.3)
    assert 4700 < len(found) < 5000
    assert peak < 40e6


def neighbourly(boxes, scores, class_ids, least):
    """Greedy suppression, one box after the other against all that stay."""
    kept = np.empty(0, int)
    for i in np.argsort(-scores, kind="stable"):
        rivals = boxes[kept if class_ids is None else kept[class_ids[kept] == class_ids[i]]]
        sides = np.minimum(rivals[:, 2:], boxes[i, 2:]) - np.maximum(rivals[:, :2], boxes[i, :2])
        shared = sides.clip(0).prod(axis=1)
        both = (rivals[:, 2:] - rivals[:, :2]).prod(axis=1) + (boxes[i, 2:] - boxes[i, :2]).prod()
        if (shared < least * (both - shared)).all():
            kept = np.append(kept, i)
    return kept.tolist()


def test_a_box_goes_where_it_overlaps_by_just_the_threshold():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 5.9]])  # an IoU of .6 and .59
    found = non_max_suppression(boxes, np.array([0.9, 0.8, 0.7]), None, iou_threshold=0.6, most=3)
    assert found.tolist() == [0, 2]


def test_a_box_that_was_dropped_drops_none():
    """The first drops the second; the third, which overlaps only that, stays."""
    boxes = np.array([[0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]])
    assert non_max_suppression(boxes, np.array([0.9, 0.8, 0.7]), None, iou_threshold=0.5, most=3).tolist() == [0, 2]
