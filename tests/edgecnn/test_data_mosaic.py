import numpy as np
import pytest
import tensorflow as tf

from edgecnn.data.mosaic import mosaic
from edgecnn.training.augmenting import with_many_boxes

HEIGHT, WIDTH, COUNT = 64, 96, 8
# One rectangle an image, in a colour of its own on black: a brute force finds it again by its colour.
COLORS = np.array([[(i % 2) * 120 + 100, (i // 2 % 2) * 120 + 100, (i // 4) * 120 + 100] for i in range(COUNT)])


@pytest.fixture
def scene():
    random = np.random.default_rng(0)
    pixels, boxes = np.zeros((COUNT, HEIGHT, WIDTH, 3), np.uint8), np.zeros((COUNT, 2, 4), np.float32)
    for index in range(COUNT):
        x1, y1 = random.integers(0, WIDTH - 40), random.integers(0, HEIGHT - 30)
        x2, y2 = x1 + random.integers(16, 40), y1 + random.integers(16, 30)
        pixels[index, y1:y2, x1:x2] = COLORS[index]
        boxes[index, 1] = x1, y1, x2, y2  # the first place is empty
    return pixels, {"boxes": boxes, "class_ids": np.stack([np.full(COUNT, 99), np.arange(COUNT)], axis=1)}


def made(scene, seed):
    pixels, arrays = scene
    given = {name: tf.constant(values) for name, values in arrays.items()}
    new, moved = mosaic(tf.constant(pixels), given, tf.constant([seed, seed], tf.int64))
    return new.numpy(), {name: values.numpy() for name, values in moved.items()}


@pytest.mark.parametrize("seed", range(4))
def test_every_box_is_round_its_own_colour_and_no_large_object_is_without_one(scene, seed):
    pixels, arrays = made(scene, seed)
    mixed = 0
    for image, boxes, class_ids in zip(pixels, arrays["boxes"], arrays["class_ids"], strict=True):
        there = boxes.any(axis=1)
        mixed += there.sum() > 1
        left = np.abs(image.astype(int)[..., np.newaxis, :] - COLORS).max(axis=-1) < 8  # (height, width, colours)
        for box, class_id in zip(boxes[there], class_ids[there], strict=True):
            x1, y1, x2, y2 = box
            assert 0 <= x1 < x2 <= WIDTH
            assert 0 <= y1 < y2 <= HEIGHT
            inner = left[int(np.ceil(y1)) + 1 : int(y2) - 1, int(np.ceil(x1)) + 1 : int(x2) - 1, class_id]
            assert inner.all()
            left[max(int(y1) - 1, 0) : int(np.ceil(y2)) + 1, max(int(x1) - 1, 0) : int(np.ceil(x2)) + 1, class_id] = 0
        assert left.any(axis=-1).sum() < 0.4 * 40 * 30 * 1.2**2 * 4  # what is left are cut objects
    assert mixed


def test_half_of_the_images_stay_as_they_are(scene):
    stayed = [(made(scene, seed)[0] == scene[0]).all(axis=(1, 2, 3)).sum() for seed in range(25)]
    assert 0.4 < np.sum(stayed) / (25 * COUNT) < 0.6


def test_boxes_stand_before_empty_places_of_which_as_few_are_left_as_can_be(scene):
    _, arrays = made(scene, 1)
    there = arrays["boxes"].any(axis=-1)
    assert (there[:, :-1] >= there[:, 1:]).all()
    assert there.any(axis=0).all()
    assert 99 not in arrays["class_ids"][there]


def test_a_batch_of_one_image_and_one_without_objects_are_taken(scene):
    pixels, arrays = scene
    new, moved = made((pixels[:1], {name: values[:1] for name, values in arrays.items()}), 3)
    assert new.shape == (1, HEIGHT, WIDTH, 3)
    assert set(moved["class_ids"][moved["boxes"].any(axis=-1)].tolist()) == {0}
    empty = np.zeros((COUNT, 1, 4), np.float32), np.zeros((COUNT, 1), np.int64)
    _, moved = made((pixels, dict(zip(arrays, empty, strict=True))), 0)
    assert moved["boxes"].shape == (COUNT, 1, 4)
    assert not moved["boxes"].any()


def test_with_many_boxes_is_another_mosaic_each_step_and_the_same_for_one_seed(scene):
    pixels, arrays = scene
    change = with_many_boxes(("mosaic", "flip"), pixels)
    given = {name: tf.constant(values) for name, values in arrays.items()}

    def shown(seed, step):
        return change(np.random.default_rng(seed))(tf.constant(pixels), given, tf.constant(step, tf.int64))[0].numpy()

    assert (shown(0, 1) == shown(0, 1)).all()
    assert (shown(0, 1) != shown(0, 2)).any()
    assert (shown(0, 1) != shown(1, 1)).any()


@pytest.mark.parametrize("names", [("mosaic",), ("flip", "crop"), ("scale", "crop"), ("mosaic", "crop", "flip")])
def test_what_is_seen_of_a_region_that_is_not_learned_stays_within_its_box(scene, names):
    """However little is left of it: the network would be blamed there for what it is right to find."""
    pixels, arrays = scene
    regions = np.where(np.arange(COUNT) % 2, -1, np.arange(COUNT))
    pixels = pixels.copy()
    for index in range(1, COUNT, 2):  # beside the learned object a region in every second image, in its colour
        x1, y1, x2, y2 = arrays["boxes"][index, 1].astype(int)
        pixels[index, y1:y2, x1:x2] = 250
    boxes = tf.constant(
        np.concatenate([arrays["boxes"], np.tile(np.float32([[[45, 29, 51, 35]]]), (COUNT, 1, 1))], axis=1)
    )
    pixels[:, 29:35, 45:51] = 30  # an object in the middle, so that few images would lose all that is learned
    class_ids = np.stack([np.zeros(COUNT), regions, np.zeros(COUNT)], axis=1).astype(np.int64)
    given, cut = {"boxes": boxes, "class_ids": tf.constant(class_ids)}, 0
    change = with_many_boxes(names, pixels)(np.random.default_rng(1))
    for step in range(12):
        new, moved = change(tf.constant(pixels), given, tf.constant(step, tf.int64))
        for image, there, ids in zip(new.numpy(), moved["boxes"].numpy(), moved["class_ids"].numpy(), strict=True):
            inside = np.zeros((HEIGHT, WIDTH), bool)
            for x1, y1, x2, y2 in there[ids < 0]:
                inside[max(int(y1) - 1, 0) : int(np.ceil(y2)) + 1, max(int(x1) - 1, 0) : int(np.ceil(x2)) + 1] = True
                cut += 0 < (x2 - x1) * (y2 - y1) < 100  # of 256 or more
            assert inside[(image > 240).all(axis=-1)].all()
    assert cut
