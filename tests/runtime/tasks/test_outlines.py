import numpy as np
import pytest
from hypothesis import example, given
from hypothesis.extra import numpy as hnp

from edgecnn_runtime.tasks.outlines import outlines

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16))
RING = np.pad(np.pad(np.zeros((1, 2), bool), 1, constant_values=True), 1)


def edges(ring):
    return zip(ring, ring[1:] + ring[:1], strict=True)


def filled(rings, shape):
    """Fills by the even-odd rule: how often a ray from each pixel's centre to the left meets an edge."""
    inside = np.zeros(shape, bool)
    for row, column in np.ndindex(shape):
        x, y = column + 0.5, row + 0.5
        for ring in rings:
            for (x1, y1), (_, y2) in edges(ring):
                inside[row, column] ^= x1 < x and min(y1, y2) < y < max(y1, y2)
    return inside


def area(ring):
    """Above 0 where a ring goes clockwise as the picture is displayed (y grows downwards)."""
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in edges(ring)) / 2


@given(MASKS)
@example(RING)
@example(~RING)
@example(np.eye(5, dtype=bool))
@example(np.fliplr(np.eye(5, dtype=bool)))
@example(~np.eye(5, dtype=bool))
@example(np.indices((6, 7)).sum(axis=0) % 2 == 0)
@example(np.ones((3, 4), bool))
def test_rings_filled_again_are_the_mask(mask):
    rings = outlines(mask)
    np.testing.assert_array_equal(filled(rings, mask.shape), mask)
    for ring in rings:
        turns = [(x1 == x2, y1 == y2) for (x1, y1), (x2, y2) in edges(ring)]
        assert all(turn in ((True, False), (False, True)) for turn in turns)
        assert all(one != other for one, other in edges(turns))  # corners alone
        assert area(ring) != 0
    assert sum(map(area, rings)) == mask.sum()


def test_a_ring_goes_clockwise_and_its_hole_counter_clockwise():
    outer, hole = outlines(RING)
    assert outer == [(1, 1), (5, 1), (5, 4), (1, 4)]
    assert hole == [(4, 2), (2, 2), (2, 3), (4, 3)]
    assert (area(outer), area(hole)) == (12, -2)


def test_pixels_that_touch_at_a_corner_are_parts_of_their_own():
    assert outlines(np.eye(2, dtype=bool)) == [
        [(0, 0), (1, 0), (1, 1), (0, 1)],
        [(1, 1), (2, 1), (2, 2), (1, 2)],
    ]
    assert len(outlines(np.fliplr(np.eye(3, dtype=bool)))) == 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (3, 5)])
def test_a_whole_picture_is_its_border(shape):
    height, width = shape
    assert outlines(np.ones(shape, bool)) == [[(0, 0), (width, 0), (width, height), (0, height)]]
    assert outlines(np.zeros(shape, bool)) == []
