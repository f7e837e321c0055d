"""The demo's picture, without its training."""

import numpy as np
import pytest

from edgecnn.tasks.classification.demo import Shown, choose_shown, draw_shown
from edgecnn_runtime import Classification

LABELS = tuple("0123456789")
GREEN, RED = (26, 127, 55), (207, 34, 46)


def shown(truth, answered, *, gray=0):
    scores = np.full(10, 0.01, np.float32)
    scores[answered] = 0.91
    return Shown(np.full((8, 8), gray, np.uint8), Classification(scores, labels=LABELS, shape=(8, 8)), str(truth))


def test_choose_shown_takes_right_ones_of_many_classes_and_ends_with_a_wrong_one():
    answered = [*(shown(i // 3, i // 3) for i in range(30)), shown(4, 7), shown(4, 9)]
    chosen = choose_shown(answered)
    assert [one.truth for one in chosen] == [*"01234567", "4"]
    assert [one.is_right for one in chosen] == [True] * 8 + [False]
    assert chosen[-1] is answered[30]


def test_choose_shown_takes_right_ones_alone_where_none_is_wrong():
    chosen = choose_shown([shown(i % 2, i % 2, gray=i) for i in range(12)])
    assert len({id(one) for one in chosen}) == 9
    assert all(one.is_right for one in chosen)


def test_choose_shown_takes_what_there_is():
    assert [one.is_right for one in choose_shown([shown(1, 2), shown(3, 3)])] == [True, False]


@pytest.mark.parametrize(("count", "rows"), [(9, 3), (4, 2)])
def test_draw_shown_frames_right_ones_green_and_wrong_ones_red(count, rows):
    ones = [shown(i, i, gray=i) for i in range(count - 1)] + [shown(1, 2, gray=count)]
    sheet = draw_shown(ones)
    side, height = sheet.width // 3, sheet.height // rows
    assert (sheet.width, sheet.height) == (3 * side, rows * height)
    for index, one in enumerate(ones):
        left, top = index % 3 * side, index // 3 * height
        assert sheet.getpixel((left + 1, top + 1)) == (GREEN if one.is_right else RED)
        middle = sheet.getpixel((left + side // 2, top + height * 3 // 4))
        assert middle == (index if index < count - 1 else count,) * 3  # each digit in its own place
        assert np.asarray(sheet.crop((left + 8, top + 8, left + side // 2, top + height // 4))).max() == 255  # text
