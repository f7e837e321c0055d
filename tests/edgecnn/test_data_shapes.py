import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn.data import as_class_ids, largest_boxes, load_dataset
from edgecnn.data.narrowing import GROUND, with_masks
from edgecnn.data.scenes import (
    COLORS,
    HEIGHT,
    KINDS,
    SIZES,
    WIDTH,
    Scene,
    boxes_of,
    class_map_of,
    masks_of,
    new_scene,
    render,
)
from edgecnn.data.shapes import scene_of
from edgecnn.errors import UnknownDatasetError

seeds = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))


@pytest.fixture(scope="module")
def single():
    return load_dataset("shapes:1")


@given(seeds, st.integers(1, 6))
@settings(max_examples=60)
def test_boxes_are_where_the_picture_shows_the_colors(seed, most):
    scene = new_scene(seed, most)
    pixels = render(scene)
    assert 1 <= len(scene.shapes) <= most
    for shape, box, mask in zip(scene.shapes, boxes_of(scene).astype(int), masks_of(scene), strict=True):
        rows, columns = np.nonzero((pixels == COLORS[shape.color]).all(axis=-1))
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert (mask == (pixels == COLORS[shape.color]).all(axis=-1)).all()


@given(seeds, st.integers(1, 6))
@settings(max_examples=60)
def test_the_class_map_is_what_the_picture_shows(seed, most):
    scene = new_scene(seed, most)
    pixels, expected = render(scene), np.zeros((HEIGHT, WIDTH), np.uint8)
    for shape in scene.shapes:
        expected[(pixels == COLORS[shape.color]).all(axis=-1)] = 1 + KINDS.index(shape.kind)
    assert (class_map_of(scene) == expected).all()


INSIDE = {  # of points from the middle of a square with the half side 1, y downwards
    "circle": lambda x, y: x**2 + y**2 <= 1,
    "cross": lambda x, y: (abs(x) <= 1 / 3) | (abs(y) <= 1 / 3),
    "square": lambda x, y: (abs(x) <= 1) & (abs(y) <= 1),
    "triangle": lambda x, y: abs(x) <= (y + 1) / 2,
}


@given(seeds)
@settings(max_examples=40)
def test_a_shape_alone_fills_the_pixels_that_it_covers_by_half(seed):
    for shape in new_scene(seed, 6).shapes:
        shown = class_map_of(Scene(new_scene(seed, 1).ground, (shape,))) > 0
        fine = 16  # points along a pixel
        x = ((np.arange(WIDTH * fine) + 0.5) / fine - shape.left) / shape.size * 2 - 1
        y = ((np.arange(HEIGHT * fine) + 0.5) / fine - shape.top) / shape.size * 2 - 1
        inside = INSIDE[shape.kind](x, y[:, np.newaxis])
        inside &= (abs(x) <= 1) & (abs(y[:, np.newaxis]) <= 1)
        covered = inside.reshape(HEIGHT, fine, WIDTH, fine).mean(axis=(1, 3))
        assert shown[covered > 0.75].all()
        assert not shown[covered < 0.25].any()
        assert (shown != (covered >= 0.5)).sum() <= shape.size / 3 + 2  # at slants the centre decides, not the half


@given(seeds)
@settings(max_examples=60)
def test_no_ground_has_the_color_of_a_shape(seed):
    scene = new_scene(seed, 6)
    ground = render(scene)[~masks_of(scene).any(axis=0)].astype(int)
    for color in COLORS.values():
        assert (abs(ground - color).max(axis=-1) > 10).all()


def test_shapes_vary_as_they_should():
    scenes = [scene_of("train", index, 6) for index in range(300)]
    boxes = np.concatenate([boxes_of(scene) for scene in scenes])
    shown = [masks_of(scene).sum(axis=(1, 2)) for scene in scenes]
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    assert {len(scene.shapes) for scene in scenes} == set(range(1, 7))
    assert SIZES[-1] == 8 * SIZES[0]
    assert sides.min() <= 8
    assert sides.max() == 64
    assert ((boxes == 0) | (boxes == (WIDTH, HEIGHT, WIDTH, HEIGHT))).any(axis=1).mean() > 0.1  # cut by the border
    squares = [
        (shape.size**2, area)
        for scene, areas in zip(scenes, shown, strict=True)
        for shape, area in zip(scene.shapes, areas, strict=True)
        if shape.kind == "square" and 0 <= shape.left <= WIDTH - shape.size and 0 <= shape.top <= HEIGHT - shape.size
    ]
    assert 0.02 < np.mean([area < full for full, area in squares]) < 0.5  # behind others
    assert all(2 * area >= full for full, area in squares)


def test_shapes_are_these_bytes_on_every_machine(single):
    first = hashlib.sha256(b"".join(render(scene_of("test", index, 6)).tobytes() for index in range(40))).hexdigest()
    assert first == "04c25889ed64ba180260f26bcfbe1afac293dc11c4cbd5c5c5621be6897fe8f4"
    assert single.fingerprint == "b79ebd906e1d84c93dc1611d587f68eebd5bd69d05b146271227aba06de4a388"


def test_one_object_an_image_is_what_classifiers_and_localizers_take(single):
    assert {len(image) for part in single.parts for image in part.targets.images} == {1}
    assert len(as_class_ids(single).train.targets.ids) == len(single.train) == 1200
    assert largest_boxes(single).fingerprint == single.fingerprint
    assert (single.test.sources[7] == render(scene_of("test", 7, 1))).all()


def test_a_segmenter_gets_the_masks_behind_the_boxes(single):
    masked = with_masks(single)
    assert masked.labels == (GROUND, *KINDS)
    assert masked.fingerprint == single.fingerprint
    pixels, truth = masked.test[7]
    assert (truth == class_map_of(scene_of("test", 7, 1))).all()
    assert (pixels == render(scene_of("test", 7, 1))).all()
    assert masked.train.targets.counts(5)[0] == 1200


def test_parts_are_other_pictures(single):
    digests = {pixels.tobytes() for part in single.parts for pixels in part.sources}
    assert len(digests) == 1500
    assert not single.is_split


@pytest.mark.parametrize("name", ["shapes:0", "shapes:7", "shapes:", "shapes:x", "shapes:11"])
def test_another_number_of_objects_is_refused(name):
    with pytest.raises(UnknownDatasetError, match=r"expected shapes, or shapes:N .* up to 6"):
        load_dataset(name)
