"""The documented vertical and horizontal line filters: a convolution that can be checked by hand."""

import keras
import numpy as np
import pytest

SIDE = 7
VERTICAL, HORIZONTAL = 0, 1


@pytest.fixture
def convolution() -> keras.layers.Conv2D:
    """Two 7x7 filters, "same" padding, no bias: ones in the middle column of one, in the middle row of the other."""
    filters = np.zeros((SIDE, SIDE, 1, 2))
    filters[:, SIDE // 2, 0, VERTICAL] = 1
    filters[SIDE // 2, :, 0, HORIZONTAL] = 1
    layer = keras.layers.Conv2D(2, SIDE, padding="same", use_bias=False)
    layer.build((None, 9, 9, 1))
    layer.set_weights([filters])
    return layer


def feature_maps(convolution: keras.layers.Conv2D, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    maps = np.asarray(convolution(image[None, :, :, None].astype("float32")))[0]
    return maps[:, :, VERTICAL], maps[:, :, HORIZONTAL]


def test_line_filters_answer_to_lines_of_their_own_direction(convolution: keras.layers.Conv2D) -> None:
    image = np.zeros((9, 9))
    image[:, 4] = 1  # a vertical line
    vertical, horizontal = feature_maps(convolution, image)
    # The vertical filter counts the line's cells within 3 rows: 4 at the border, 7 from the fourth row on.
    assert vertical[:, 4].tolist() == [4, 5, 6, 7, 7, 7, 6, 5, 4]
    assert vertical[:, :4].max() == vertical[:, 5:].max() == 0
    # The horizontal filter meets one cell of it wherever it reaches column 4, that is from column 1 to 7.
    assert horizontal.tolist() == [[0, 1, 1, 1, 1, 1, 1, 1, 0]] * 9


def test_line_filters_are_each_other_s_transpose(convolution: keras.layers.Conv2D) -> None:
    image = np.random.default_rng(0).integers(0, 9, (9, 9))
    vertical, horizontal = feature_maps(convolution, image)
    turned_vertical, turned_horizontal = feature_maps(convolution, image.T)
    assert np.array_equal(turned_vertical, horizontal.T)
    assert np.array_equal(turned_horizontal, vertical.T)


def test_line_filters_keep_a_plain_area_the_same_in_both_maps(convolution: keras.layers.Conv2D) -> None:
    vertical, horizontal = feature_maps(convolution, np.ones((9, 9)))
    assert vertical[4, 4] == horizontal[4, 4] == SIDE
    assert vertical[0].tolist() == [4] * 9  # zero padding takes three rows away
