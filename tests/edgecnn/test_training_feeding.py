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
        augmented(data, config), draws, 4, targets=lambda arrays: arrays, random=np.random.default_rng(seed)
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
    batches = training_batches(data, draws, 4, targets=lambda arrays: arrays, random=np.random.default_rng(1))
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
    _, arrays = change(tf.zeros((64, 32, 32, 3), tf.uint8), {"boxes": tf.constant(boxes), "others": 1}, np.int64(0))
    gone = (arrays["boxes"].numpy() == 0).all(axis=2)
    assert 0 < gone[:, 0].sum() < 64
    assert not gone[:, 1].any()
    assert arrays["others"] == 1


def test_validation_batches_give_what_is_held_out_in_order(rare):
    batches = validation_batches(augmented(rare, config(augment=("shift",))), 1, targets=lambda arrays: arrays)
    pixels, arrays = zip(*batches.as_numpy_iterator(), strict=True)
    assert (np.concatenate(pixels) == rare.train.pixels[10:]).all()
    assert np.concatenate([batch["class_ids"] for batch in arrays]).tolist() == [0, 1]


def test_validation_batches_come_from_a_part_of_its_own_where_there_is_one(rare):
    val = LabelledPixels(rare.train.pixels[::-1], {"class_ids": np.arange(12)})
    ((pixels, arrays),) = validation_batches(
        replace(rare, val=val), 2, targets=lambda arrays: arrays
    ).as_numpy_iterator()
    assert (pixels == val.pixels[10:]).all()
    assert arrays["class_ids"].tolist() == [10, 11]
