"""Where the boxes of an image stand in a detector's grids, against plain Python and against the runtime's decoding."""

import math

import numpy as np

from edgecnn.tasks.detection.targets import CLASS, CORNERS, PLACE, encoder
from edgecnn_runtime.decoders import YoloScale
from edgecnn_runtime.tasks.anchors import boxes_of, cells_at
from edgecnn_runtime.tasks.boxes import to_cxcywh

SIZE = (96, 160)
SCALES = (
    YoloScale("scale_8", 8, ((10.0, 13.0), (16.0, 30.0), (33.0, 23.0))),
    YoloScale("scale_16", 16, ((30.0, 61.0), (62.0, 45.0))),
    YoloScale("scale_32", 32, ((116.0, 90.0), (16.0, 30.0))),  # the last one twice
)


def places_of(boxes):
    """The place of each box of an image, (scale, row, column, anchor), or None where a later one has it."""
    places = []
    for x1, y1, x2, y2 in boxes:
        width, height = x2 - x1, y2 - y1
        best = None
        for number, scale in enumerate(SCALES):
            for anchor, (w, h) in enumerate(scale.anchors):
                shared = min(width, w) * min(height, h)
                overlap = shared / (width * height + w * h - shared)
                if best is None or overlap > best[0]:
                    best = overlap, number, anchor
        _, number, anchor = best
        rows, columns = (side // SCALES[number].stride for side in SIZE)
        row, column = (
            min(max(math.floor((first + last) / 2 / SCALES[number].stride), 0), most - 1)
            for first, last, most in ((y1, y2, rows), (x1, x2, columns))
        )
        places.append((number, row, column, anchor))
    return [None if place in places[index + 1 :] else place for index, place in enumerate(places)]


def test_a_box_is_learned_where_plain_python_puts_it_and_where_it_decodes_to():
    random = np.random.default_rng(0)
    centres, sizes = random.uniform(-6, [166, 102], (100, 10, 2)), np.exp(random.uniform(1.5, 5, (100, 10, 2)))
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=-1).astype(np.float32)
    boxes[:, 9] = boxes[:, 3]  # two of one place
    class_ids = random.integers(0, 3, (100, 10))
    targets = {
        name: np.asarray(target)
        for name, target in encoder(SCALES)({"boxes": boxes, "class_ids": class_ids}, SIZE).items()
    }
    learned = 0
    for image, own in enumerate(boxes.tolist()):
        for index, place in enumerate(places_of(own)):
            for number, scale in enumerate(SCALES):
                row = targets[scale.output][image, index]
                np.testing.assert_array_equal(row[CORNERS], boxes[image, index])
                assert row[CLASS] == class_ids[image, index]
                here = place is not None and place[0] == number
                assert row[PLACE].tolist() == (list(place[1:]) if here else [-1, -1, -1])
                learned += here
                if here:
                    assert_decodes_to(scale, place, boxes[image, index])
    assert 800 < learned <= 900


def assert_decodes_to(scale, place, box):
    """What a network must answer there lies within the cell, unless the centre is beyond the picture."""
    _, row, column, anchor = place
    shape = (SIZE[0] // scale.stride, SIZE[1] // scale.stride, len(scale.anchors))
    cells = cells_at(np.array([np.ravel_multi_index((row, column, anchor), shape)]), shape, scale)
    x, y, width, height = to_cxcywh(box.astype(np.float64))
    within = np.array([x, y]) / scale.stride - [column, row]
    if 0 < x < SIZE[1] and 0 < y < SIZE[0]:
        assert (within >= 0).all()
        assert (within <= 1).all()
        within = within.clip(1e-4, 1 - 1e-4)
        raw = [*np.log(within / (1 - within)), *np.log([width, height] / cells.anchors[0])]
        np.testing.assert_allclose(boxes_of(np.float32([raw]), cells)[0], [x, y, width, height], rtol=1e-3, atol=0.01)


def test_a_region_that_is_not_learned_and_no_box_have_no_place():
    boxes = np.float32([[[10, 10, 40, 40], [0, 0, 0, 0]]])
    for class_ids in ([[-1, 0]], [[-2, 1]]):
        for target in encoder(SCALES)({"boxes": boxes, "class_ids": np.array(class_ids)}, SIZE).values():
            assert (np.asarray(target)[..., PLACE] == -1).all()
