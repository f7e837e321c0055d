import numpy as np
import pytest
import tensorflow as tf

from edgecnn.augmentations import AUGMENTATIONS
from edgecnn.data.augment import Augmentation, color_axes


@pytest.fixture
def squares():
    """Eight images of a bright square, left of the middle, on a dark ground."""
    pixels = np.full((8, 20, 20, 3), 60, np.uint8)
    pixels[:, 6:12, 4:9] = (200, 180, 160)
    return pixels


def augmented(names, pixels, *, seed=0, step=0):
    augment = Augmentation(names, color_axes(pixels)).seeded(np.random.default_rng(seed))
    return tf.function(augment)(tf.constant(pixels), tf.constant(step, tf.int64)).numpy()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentation_changes_each_image_in_its_own_way(name, squares):
    changed = augmented([name], squares)
    assert (changed.dtype, changed.shape) == (np.uint8, squares.shape)
    assert len(np.unique(changed, axis=0)) > 1
    assert (changed != squares).any()


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(3, 9, 14, 1), (1, 28, 28, 1), (2, 16, 11, 3)])
def test_augmentation_keeps_any_shape(name, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert augmented([name], pixels).shape == shape


def test_augmentation_follows_from_seed_and_step_alone(squares):
    augmentation = Augmentation(["shift", "contrast", "alexnet"], color_axes(squares))

    def first_and_second(seed):
        batches = tf.data.Dataset.from_tensor_slices(squares).batch(4).enumerate()
        augment = augmentation.seeded(np.random.default_rng(seed))
        return np.stack([*batches.map(lambda step, pixels: augment(pixels, step)).as_numpy_iterator()])

    earlier, other, again = first_and_second(0), first_and_second(1), first_and_second(0)
    assert (earlier == again).all()
    assert (earlier != other).any()
    assert (earlier[0] != earlier[1]).any()
    assert (augmented(["shift", "contrast", "alexnet"], squares[:4], step=1) == earlier[1]).all()


def test_shift_moves_by_at_most_a_tenth(squares):
    for moved in augmented(["shift"], squares)[..., 0] > 130:
        rows, columns = np.flatnonzero(moved.any(axis=1)), np.flatnonzero(moved.any(axis=0))
        assert abs(rows[0] - 6) <= 2
        assert abs(columns[0] - 4) <= 2
        assert moved.sum() == pytest.approx(30, abs=6)


def test_flip_mirrors_left_to_right_or_not_at_all(squares):
    mirrored = squares[:, :, ::-1]
    for image, before, after in zip(augmented(["flip"], squares), squares, mirrored, strict=True):
        assert (image == before).all() or (image == after).all()


def test_rotation_keeps_the_middle(squares):
    squares[:, 9:11, 9:11] = 255
    assert (augmented(["rotation"], squares)[:, 9:11, 9:11].min(axis=(1, 2, 3)) > 140).all()


def test_contrast_keeps_the_mean_and_stretches_by_at_most_a_fifth(squares):
    before, after = (x.astype(float) for x in (squares[..., 0], augmented(["contrast"], squares)[..., 0]))
    assert after.mean(axis=(1, 2)) == pytest.approx(before.mean(axis=(1, 2)), abs=0.5)
    stretch = np.ptp(after, axis=(1, 2)) / np.ptp(before, axis=(1, 2))
    assert ((stretch > 0.79) & (stretch < 1.21)).all()


def test_brightness_adds_one_number_to_the_whole_image(squares):
    added = augmented(["brightness"], squares).astype(int) - squares
    assert (np.ptp(added, axis=(1, 2, 3)) <= 1).all()  # rounding
    assert (np.abs(added) <= 52).all()


def test_augmentation_stays_between_black_and_white():
    bright = np.full((16, 8, 8, 3), 250, np.uint8)
    added = augmented(["brightness"], bright).astype(int) - bright
    assert added.max() == 5


def test_alexnet_shifts_colours_along_the_axes(squares):
    pixels = squares[:, :1, :1].repeat(20, axis=1).repeat(20, axis=2)  # one colour: moving and mirroring show nothing
    axes = np.array([[0.1, 0, 0], [0, 0, 0], [0, 0, 0]])
    augment = Augmentation(["alexnet"], axes).seeded(np.random.default_rng(0))
    added = augment(tf.constant(pixels), tf.constant(0, tf.int64)).numpy().astype(int) - pixels
    assert (added[..., 1:] == 0).all()
    assert len(np.unique(added[:, 0, 0, 0])) > 3


def test_color_axes_are_the_principal_components():
    amounts = np.random.default_rng(0).normal(0, 20, (50, 10, 10, 1))
    pixels = np.clip(128 + amounts * np.array([0.6, 0.8, 0.0]), 0, 255).astype(np.uint8)
    lengths = np.linalg.norm(color_axes(pixels), axis=1)
    variance = (amounts / 255).var()
    assert lengths[2] == pytest.approx(0.1 * variance, rel=0.05)
    assert lengths[:2] == pytest.approx(0, abs=1e-5)
    assert np.abs(color_axes(pixels)[2] / lengths[2]) == pytest.approx([0.6, 0.8, 0.0], abs=0.02)
