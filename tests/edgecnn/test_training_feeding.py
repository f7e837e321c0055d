import numpy as np
import pytest

from edgecnn.training.config import TrainConfig
from edgecnn.training.feeding import TrainingData, draw, new_augmentation, training_batches, validation_batches

PLAIN = TrainConfig("simple_cnn", "unused")


def config(**options):
    return TrainConfig("simple_cnn", "unused", **options)


@pytest.fixture
def rare():
    """Ten images to learn from, two of them of class 1, and two held out; image i is the color i of 12."""
    pixels = np.repeat(np.arange(12, dtype=np.uint8) * 20, 36).reshape(12, 6, 6, 1)
    pixels[:, 2:4, 2:4] = 250
    return TrainingData(pixels, np.array([0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1]), np.arange(10), np.arange(10, 12))


def drawn(data, config, seed=0):
    return draw(data, config, np.random.default_rng(seed))


def fed(data, config, *, outputs=1, seed=0):
    """Everything that an epoch shows: pixels, class ids, positions."""
    data = TrainingData(
        data.pixels, data.class_ids, data.learned, data.held_out, new_augmentation(config, data.pixels, data.learned)
    )
    draws = drawn(data, config, seed)
    batches = training_batches(data, draws, 4, outputs=outputs, random=np.random.default_rng(seed))
    pixels, class_ids = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(pixels), class_ids, draws.positions


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


def test_training_batches_give_the_images_as_they_are(rare):
    pixels, class_ids, positions = fed(rare, PLAIN)
    assert [len(ids) for ids in class_ids] == [4, 4, 2]
    assert (pixels == rare.pixels[positions]).all()
    assert (np.concatenate(class_ids) == rare.class_ids[positions]).all()


def test_training_batches_change_the_repeats_of_rare_classes(rare):
    balanced = config(balance=True)
    pixels, _, positions = fed(rare, balanced)
    same = (pixels == rare.pixels[positions]).all(axis=(1, 2, 3))
    assert (same == ~drawn(rare, balanced).changed).all()


def test_training_batches_change_all_images_anew(rare):
    augmented = config(augment=("contrast", "shift"))
    first, again, other = (fed(rare, augmented, seed=seed)[0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_training_batches_give_class_ids_to_every_output(rare):
    (first, second, third), *_ = fed(rare, PLAIN, outputs=3)[1]
    assert (first == second).all()
    assert (first == third).all()


def test_validation_batches_give_what_is_held_out_in_order(rare):
    batches = validation_batches(rare, 1, outputs=1).as_numpy_iterator()
    pixels, class_ids = zip(*batches, strict=True)
    assert (np.concatenate(pixels) == rare.pixels[10:]).all()
    assert np.concatenate(class_ids).tolist() == [0, 1]
