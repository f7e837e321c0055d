import numpy as np
import pytest
from PIL import Image

from edgecnn_runtime.drawing import class_color, draw_boxes, draw_classes, paint_boxes


def found(image, class_id):
    """The box round all pixels of a class's colour."""
    rows, columns = np.nonzero((np.asarray(image) == class_color(class_id)).all(axis=-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_a_box_is_drawn_round_its_pixels():
    image = Image.new("RGB", (640, 400), "black")
    left, _, right, bottom = found(draw_boxes(image, [(40, 100, 240, 300)], [0], [""]), 0)
    assert (left, right, bottom) == (40, 240, 300)
    assert not np.asarray(image).any()  # it stays as it is


@pytest.mark.parametrize("size", [(8, 8), (28, 20), (100, 64), (2000, 10)])
def test_a_box_lies_at_the_same_place_of_an_enlarged_image(size):
    drawn = draw_boxes(Image.new("L", size), [(0, size[1] / 2, size[0] / 2, size[1])], [1], ["x"])
    factor = drawn.width / size[0]
    left, _, _, bottom = found(drawn, 1)
    assert (drawn.mode, left, bottom) == ("RGB", 0, size[1] * factor)


@pytest.mark.parametrize("box", [(0, 0, 400, 400), (0, 0, 10, 10), (380, 390, 400, 400), (390, 0, 400, 6)])
def test_a_caption_lies_in_the_image(box):
    drawn = draw_boxes(Image.new("RGB", (400, 400)), [box], [2], ["a long name of a class"])
    text = (np.asarray(drawn) == (255, 255, 255)).all(axis=-1) | (np.asarray(drawn) == 0).all(axis=-1)
    left, top, right, bottom = found(drawn, 2)
    assert right - left > 100
    assert text[top:bottom, left:right].any()


def test_a_caption_does_not_hide_a_small_box():
    canvas = Image.new("RGB", (400, 400))
    canvas.paste("red", (10, 0, 18, 8))
    paint_boxes(canvas, [(8, 0, 20, 10)], [class_color(3)], ["bird"])
    assert (np.asarray(canvas)[2:8, 10:18] == (255, 0, 0)).all()


def test_the_smaller_of_two_boxes_is_on_top():
    drawn = draw_boxes(Image.new("RGB", (400, 400)), [(100, 100, 200, 200), (50, 100, 300, 350)], [4, 5], ["", ""])
    assert tuple(np.asarray(drawn)[100, 150]) == class_color(4)


@pytest.mark.parametrize("size", [(8, 8), (28, 20), (600, 400)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_classes_lie_over_their_own_pixels(size, mode):
    class_map = np.zeros(size[::-1], np.uint8)
    class_map[size[1] // 2 :, size[0] // 2 :] = 3
    image = Image.new(mode, size, "white")
    drawn = np.asarray(draw_classes(image, class_map, {3: "x"}))
    factor = drawn.shape[1] // size[0]
    assert drawn.shape == (factor * size[1], factor * size[0], 3)
    (covered,) = np.unique(drawn[factor * (size[1] // 2) :, factor * (size[0] // 2) :].reshape(-1, 3), axis=0)
    np.testing.assert_allclose(covered, (np.array(class_color(3)) + 255) / 2, atol=1)
    assert (drawn[-1, : factor * (size[0] // 2)] == 255).all()
    assert (drawn[: factor * (size[1] // 2), -1] == 255).all()
    assert (np.asarray(image) == 255).all()  # it stays as it is


def test_a_legend_shows_the_colours_and_counts_what_has_no_room():
    captions = {class_id: f"class {class_id}" for class_id in range(40)}
    class_map = np.full((400, 400), 200, np.uint8)
    few, many = (
        np.asarray(draw_classes(Image.new("RGB", (400, 400)), class_map, dict(list(captions.items())[:count])))
        for count in (3, 40)
    )
    shown = [[(drawn == class_color(one)).all(axis=-1).any() for one in range(40)] for drawn in (few, many)]
    assert shown[0] == [True] * 3 + [False] * 37
    assert 10 < sum(shown[1]) < 40
    assert shown[1] == sorted(shown[1], reverse=True)
    assert not few[100:].any()
    assert many[360:].any()


def test_classes_that_are_not_named_stay_as_they_are():
    image = Image.new("RGB", (400, 400), "white")
    drawn = draw_classes(image, np.zeros((400, 400), np.uint8), {})
    assert (np.asarray(drawn)[20:] == 255).all()


def test_neighbouring_classes_look_unlike():
    colors = np.array([class_color(class_id) for class_id in range(20)])
    assert (abs(np.diff(colors, axis=0)).max(axis=1) > 80).all()
    assert len(np.unique(colors, axis=0)) == 20
