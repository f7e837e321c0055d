from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from edgecnn.data.augment import Augmentation, color_axes
from edgecnn.tasks.table import TASKS
from edgecnn.training.augmenting import with_boxes
from edgecnn.training.config import TrainConfig
from edgecnn.training.feeding import (
    LabelledPixels,
    TrainingData,
    draw,
    new_augmentation,
    training_batches,
    validation_batches,
)

PLAIN = TrainConfig("simple_cnn", "unused")


def config(**options):
    return TrainConfig("simple_cnn", "unused", **options)


@pytest.fixture
def rare():
    """Ten images to learn from, two of them of class 1, and two held out; image i is the color i of 12."""
    pixels = np.repeat(np.arange(12, dtype=np.uint8) * 20, 36).reshape(12, 6, 6, 1)
    pixels[:, 2:4, 2:4] = 250
    classes = np.array([0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1])
    train = LabelledPixels(pixels, {"class_ids": classes, "numbers": np.arange(12, dtype=np.float32)[:, np.newaxis]})
    return TrainingData(train, classes, np.arange(10), np.arange(10, 12))


def drawn(data, config, seed=0):
    return draw(data, config, np.random.default_rng(seed))


def augmented(data, config):
    """The data with the augmentation that classification takes."""
    augmentation = new_augmentation(config, TASKS["classification"], data.train.pixels, data.learned)
    return replace(data, augmentation=augmentation)


def fed(data, config, *, seed=0):
    """Everything that an epoch shows: pixels, arrays a batch, positions."""
    draws = drawn(data, config, seed)
    batches = training_batches(
        augmented(data, config), draws, 4, targets=lambda arrays, _: arrays, random=np.random.default_rng(seed)
    )
    pixels, arrays = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(pixels), arrays, draws.positions


def test_draw_shows_every_learned_image_once_in_an_order_of_its_own(rare):
    first, other = drawn(rare, PLAIN), drawn(rare, PLAIN, seed=1)
    assert sorted(first.positions.tolist()) == list(range(10))
    assert first.positions.tolist() != other.positions.tolist() != list(range(10))
    assert not first.changed.any()


def test_draw_repeats_rare_classes_and_changes_the_repeats_alone(rare):
    draws = drawn(rare, config(balance=True))
    times = np.bincount(draws.positions[~draws.changed], minlength=12)
    assert times.tolist() == [1] * 10 + [0, 0]
    assert np.bincount(draws.positions[draws.changed], minlength=12).tolist() == [0, 0, 0, 0, 3, 0, 0, 0, 0, 3, 0, 0]


def test_draw_changes_all_where_augmentations_are_named(rare):
    draws = drawn(rare, config(balance=True, augment=("flip",)))
    assert (len(draws.positions), draws.changed.all()) == (16, True)


def test_training_batches_give_the_images_as_they_are_with_their_arrays_by_name(rare):
    pixels, arrays, positions = fed(rare, PLAIN)
    assert [len(batch["class_ids"]) for batch in arrays] == [4, 4, 2]
    assert (pixels == rare.train.pixels[positions]).all()
    for name, values in rare.train.arrays.items():
        learned = np.concatenate([batch[name] for batch in arrays])
        assert (learned.dtype, learned.shape) == (values.dtype, values[positions].shape)
        assert (learned == values[positions]).all()


def test_training_batches_change_the_repeats_of_rare_classes(rare):
    balanced = config(balance=True)
    pixels, arrays, positions = fed(rare, balanced)
    same = (pixels == rare.train.pixels[positions]).all(axis=(1, 2, 3))
    assert (same == ~drawn(rare, balanced).changed).all()
    assert (np.concatenate([batch["class_ids"] for batch in arrays]) == rare.classes[positions]).all()


def test_training_batches_change_all_images_anew(rare):
    changing = config(augment=("contrast", "shift"))
    first, again, other = (fed(rare, changing, seed=seed)[0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_training_batches_draw_what_the_layers_alone_draw(rare):
    names = ("shift", "brightness")
    pixels, _, positions = fed(rare, config(augment=names))
    layers = Augmentation(names, color_axes(rare.train.pixels[:10])).seeded(np.random.default_rng(0))
    expected = [layers(rare.train.pixels[positions[i : i + 4]], np.int64(i // 4)) for i in (0, 4, 8)]
    assert (pixels == np.concatenate(expected)).all()


def test_training_batches_encode_what_the_augmentation_leaves(rare):
    """Boxes round bright squares are where the squares are after any number of moves, in the images that change."""
    random = np.random.default_rng(0)
    pixels, boxes = np.full((12, 40, 50, 3), 20, np.uint8), np.zeros((12, 4), np.float32)
    for image, box in zip(pixels, boxes, strict=True):
        x, y, width, height = (*random.integers(8, 22, 2), *random.integers(10, 15, 2))
        image[y : y + height, x : x + width] = 250
        box[:] = (x, y, x + width, y + height)
    data = replace(rare, train=LabelledPixels(pixels, {"class_ids": rare.classes, "boxes": boxes}))
    data = replace(data, augmentation=with_boxes(("flip", "shift", "scale"), pixels))
    draws = replace(drawn(data, PLAIN), changed=np.arange(10) % 3 > 0)
    batches = training_batches(data, draws, 4, targets=lambda arrays, _: arrays, random=np.random.default_rng(1))
    shown, arrays = zip(*batches.as_numpy_iterator(), strict=True)
    moved = np.concatenate([batch["boxes"] for batch in arrays])
    assert moved.shape == (10, 4)
    still = (moved == boxes[draws.positions]).all(axis=1)
    assert (still == ~draws.changed).all()
    for image, box in zip(np.concatenate(shown), moved, strict=True):
        rows, columns = np.nonzero(image[..., 0] > 188)  # gray is 127, where the image ends; half of the square's edge
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        np.testing.assert_allclose(box, found, atol=1)


def test_with_boxes_makes_zeros_of_those_that_leave_the_image():
    boxes = np.tile(np.array([[0, 0, 3, 10], [4, 4, 30, 30]], np.float32), (64, 1, 1))
    change = with_boxes(("shift",), np.zeros((0, 32, 32, 3), np.uint8))(np.random.default_rng(0))
    given = {"boxes": tf.constant(boxes), "class_ids": tf.zeros((64, 2), tf.int64), "others": 1}
    _, arrays = change(tf.zeros((64, 32, 32, 3), tf.uint8), given, np.int64(0))
    gone = (arrays["boxes"].numpy() == 0).all(axis=2)
    assert 0 < gone[:, 0].sum() < 64
    assert not gone[:, 1].any()
    assert arrays["others"] == 1


def test_validation_batches_give_what_is_held_out_in_order(rare):
    batches = validation_batches(augmented(rare, config(augment=("shift",))), 1, targets=lambda arrays, _: arrays)
    pixels, arrays = zip(*batches.as_numpy_iterator(), strict=True)
    assert (np.concatenate(pixels) == rare.train.pixels[10:]).all()
    assert np.concatenate([batch["class_ids"] for batch in arrays]).tolist() == [0, 1]


def test_validation_batches_come_from_a_part_of_its_own_where_there_is_one(rare):
    val = LabelledPixels(rare.train.pixels[::-1], {"class_ids": np.arange(12)})
    ((pixels, arrays),) = validation_batches(
        replace(rare, val=val), 2, targets=lambda arrays, _: arrays
    ).as_numpy_iterator()
    assert (pixels == val.pixels[10:]).all()
    assert arrays["class_ids"].tolist() == [10, 11]


def test_every_ten_batches_come_in_another_size_and_the_boxes_with_them():
    """Each image is black with one white rectangle, which a search finds again."""
    pixels, boxes = np.zeros((33, 24, 48, 1), np.uint8), np.zeros((33, 2, 4), np.float32)
    for index in range(33):
        x1, y1, x2, y2 = 4 + index % 9, 3 + index % 5, 30 + index % 11, 20 - index % 4
        pixels[index, y1:y2, x1:x2] = 255
        boxes[index, 0] = x1, y1, x2, y2
    part = LabelledPixels(pixels, {"boxes": boxes})
    data, sizes = (
        TrainingData(part, np.zeros(33, np.int64), np.arange(33), np.arange(0)),
        [(12, 24), (24, 48), (36, 72)],
    )
    seen = []

    def targets(arrays, size):
        return {**arrays, "size": size}

    batches = training_batches(
        data, drawn(data, PLAIN), 1, targets=targets, random=np.random.default_rng(3), sizes=sizes
    )
    for image, arrays in batches.as_numpy_iterator():
        seen.append(image.shape[1:3])
        assert arrays["size"].tolist() == list(image.shape[1:3])
        rows, columns = np.nonzero(image[0, :, :, 0] > 127)
        found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert np.abs(arrays["boxes"][0, 0] - found).max() <= 1
        assert not arrays["boxes"][0, 1].any()  # an empty place stays one
    assert [len(set(seen[start : start + 10])) for start in range(0, 33, 10)] == [1, 1, 1, 1]
    assert set(seen) <= set(sizes)
    assert len(set(seen)) > 1


def test_rows_that_are_not_changed_keep_their_boxes_where_the_others_get_more_places():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    boxes = np.tile(np.float32([4, 5, 20, 21]), (8, 1, 1))
    part = LabelledPixels(pixels, {"boxes": boxes, "class_ids": np.arange(8)[:, np.newaxis]})
    data = TrainingData(part, np.array([0] * 7 + [1]), np.arange(8), np.arange(0))  # balanced: class 1 six times more
    augmentation = new_augmentation(config(augment=("mosaic",)), TASKS["detection"], pixels, data.learned)
    data = replace(data, augmentation=augmentation)
    draws = drawn(data, config(balance=True))
    batches = training_batches(data, draws, 14, targets=lambda arrays, _: arrays, random=np.random.default_rng(1))
    ((_, arrays),) = batches.as_numpy_iterator()
    assert arrays["boxes"].shape[1] > 1  # some were made of four
    for place in np.flatnonzero(~draws.changed):
        there = arrays["boxes"][place].any(axis=-1)
        assert arrays["boxes"][place][there].tolist() == [[4, 5, 20, 21]]
        assert arrays["class_ids"][place][there].tolist() == [draws.positions[place]]
