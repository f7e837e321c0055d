import math

import numpy as np

from edgecnn_runtime.decoders import YoloScale
from edgecnn_runtime.tasks.anchors import boxes_of, cells_at, size_iou
from edgecnn_runtime.tasks.boxes import iou, to_xyxy

SCALE = YoloScale("scale_16", 16, ((10.0, 20.0), (30.0, 5.0), (8.0, 8.0)))


def test_cells_lie_row_by_row_then_column_then_anchor():
    grid = np.arange(4 * 5 * 3).reshape(4, 5, 3)
    for row, column, anchor in np.ndindex(grid.shape):
        found = cells_at(grid[row, column, [anchor]], grid.shape, SCALE)
        assert found.corners.tolist() == [[column, row]]
        assert found.anchors.tolist() == [list(SCALE.anchors[anchor])]
        assert found.strides.tolist() == [[16.0]]


def test_boxes_are_decoded_as_the_paper_says():
    raw = np.float32([[0, 1, 0.5, -0.5], [-3, 2, 0, 99]])
    boxes = boxes_of(raw, cells_at(np.array([1, 5]), (4, 2, 3), SCALE))
    expected = [
        [16 * (0 + 0.5), 16 * (0 + 1 / (1 + math.exp(-1))), 30 * math.exp(0.5), 5 * math.exp(-0.5)],
        [16 * (1 + 1 / (1 + math.exp(3))), 16 * (0 + 1 / (1 + math.exp(-2))), 8, 8 * math.exp(10)],
    ]
    np.testing.assert_allclose(boxes, expected, rtol=1e-6)


def test_sizes_overlap_as_boxes_on_one_centre_do():
    random = np.random.default_rng(0)
    sizes, others = random.uniform(1, 50, (2, 100, 2))
    centred = [to_xyxy(np.concatenate([np.full((100, 2), 7.0), each], axis=1)) for each in (sizes, others)]
    np.testing.assert_allclose(size_iou(sizes, others), iou(*centred), rtol=1e-12)
