import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from edgecnn.augmentations import AUGMENTATIONS, BOX_AUGMENTATIONS, MASK_AUGMENTATIONS
from edgecnn.data.augment_masks import MaskAugmentation, centres, random_crop, sample_between, sample_nearest

HEIGHT, WIDTH = 48, 60
MOVING = ["flip", "vertical_flip", "shift", "scale", "crop", "rotation", "elastic"]
X, Y = np.meshgrid(np.arange(WIDTH, dtype=np.uint8), np.arange(HEIGHT, dtype=np.uint8))
STEP = 4  # of the pixels' values from one column to the next, and from one row


def places(count=1):
    """Images whose values say where they are: across in the first channel, down in the second."""
    return np.tile(np.stack([X * STEP, Y * STEP, X], axis=-1), (count, 1, 1, 1))


def augmented(names, pixels, masks, *, seed=0, step=0):
    augment = MaskAugmentation(names).seeded(np.random.default_rng(seed))
    changed = augment(tf.constant(pixels), tf.constant(masks), tf.constant(step, tf.int64))
    return tuple(result.numpy() for result in changed)


@given(st.lists(st.sampled_from(MOVING), min_size=1, max_size=4), st.integers(0, 1000))
@settings(max_examples=25)
def test_pixels_and_masks_move_alike(names, step):
    pixels, across = augmented(names, places(), X[np.newaxis], step=step)
    again, down = augmented(names, places(), Y[np.newaxis], step=step)
    assert (pixels == again).all()
    shown = pixels[0, ..., :2].astype(float) / STEP
    rounding = 0.5 / STEP
    assert abs(shown[..., 0] - across[0]).max() <= 0.5 + rounding
    assert abs(shown[..., 1] - down[0]).max() <= 0.5 + rounding


@given(st.lists(st.sampled_from(MOVING), min_size=1, max_size=3), st.integers(0, 1000))
@settings(max_examples=15)
def test_masks_get_no_class_that_was_not_there(names, step):
    mask = np.random.default_rng(step).choice(np.array([3, 7, 255], np.uint8), (2, HEIGHT, WIDTH))
    _, changed = augmented(names, places(2), mask, step=step)
    assert changed.dtype == np.uint8
    assert set(np.unique(changed)) <= {3, 7, 255}


class Seeds:
    """In place of a generator: gives the seeds that a test wants."""

    def __init__(self, *seeds):
        self.seeds = seeds

    def integers(self, _, size):
        assert size == len(self.seeds)
        return np.array(self.seeds)


@pytest.mark.parametrize("names", [("flip", "crop"), ("crop", "flip"), ("vertical_flip", "shift"), ("flip", "elastic")])
def test_changes_come_one_after_the_other_in_the_order_of_their_names(names):
    def changed(names, masks, *seeds):
        augment, pixels = MaskAugmentation(names).seeded(Seeds(*seeds)), tf.zeros((*masks.shape, 3), tf.uint8)
        return augment(pixels, tf.constant(masks), tf.constant(0, tf.int64))[1].numpy()

    masks = np.tile(X, (16, 1, 1)) if "flip" in names else np.tile(Y, (16, 1, 1))
    after = changed(names[1:], changed(names[:1], masks, 1), 2)
    assert (changed(names, masks, 1, 2) == after).mean() > 0.99  # a place halfway between two may round otherwise
    other = changed(names[:1], changed(names[1:], masks, 2), 1)
    assert (other == after).mean() < 0.9


@pytest.mark.parametrize("name", MOVING)
def test_every_moving_change_moves_something(name):
    pixels, mask = augmented([name], places(8), np.tile(X + Y, (8, 1, 1)))
    assert (pixels != places()).any()
    assert (mask != X + Y).any()
    assert len({one.tobytes() for one in mask}) > 1  # each image on its own


@given(st.integers(0, 2**31), st.floats(-100, 160), st.floats(-100, 160))
@settings(max_examples=30)
def test_sampling_is_scipys_mirrored_at_the_border(seed, low, high):
    random = np.random.default_rng(seed)
    image = random.integers(0, 255, (1, 9, 7, 2), np.uint8)
    at = random.uniform(min(low, high), max(low, high) + 1, (1, 5, 6, 2)).astype(np.float32)
    there = at[0, ..., ::-1].transpose(2, 0, 1).astype(np.float64) - 0.5  # down and across, from the middle of a pixel
    between = sample_between(tf.constant(image, tf.float32), tf.constant(at)).numpy()
    for channel in range(2):
        expected = map_coordinates(image[0, ..., channel].astype(np.float64), there, order=1, mode="reflect")
        np.testing.assert_allclose(between[0, ..., channel], expected, atol=0.02)
    nearest = sample_nearest(tf.constant(image[..., 0]), tf.constant(at)).numpy()[0]
    clear = (abs(there % 1 - 0.5) > 1e-3).all(axis=0)  # not halfway between two
    expected = map_coordinates(image[0, ..., 0], there, order=0, mode="reflect")
    assert (nearest == expected)[clear].all()


def test_sampling_at_the_middles_of_pixels_is_the_image():
    pixels = places().astype(np.float32)
    assert (sample_between(tf.constant(pixels), centres(tf.constant(pixels))).numpy() == pixels).all()
    assert (sample_nearest(tf.constant(X[np.newaxis]), centres(tf.constant(pixels))).numpy() == X).all()


@pytest.mark.parametrize(("name", "axis"), [("flip", 2), ("vertical_flip", 1)])
def test_a_flip_is_numpys_for_half_of_the_images(name, axis):
    pixels, masks = places(32), np.tile(X + Y, (32, 1, 1))
    changed, moved = augmented([name], pixels, masks)
    flipped = (changed == np.flip(pixels, axis)).all(axis=(1, 2, 3))
    stayed = (changed == pixels).all(axis=(1, 2, 3))
    assert (flipped ^ stayed).all()
    assert 8 <= flipped.sum() <= 24
    assert (moved[flipped] == np.flip(masks, axis)[flipped]).all()
    assert (moved[stayed] == masks[stayed]).all()


def test_a_rotation_turns_by_up_to_a_twentieth_round_the_middle():
    pixels, _ = augmented(["rotation"], places(64), np.tile(X, (64, 1, 1)))
    shown = pixels[:, :, :, :2].astype(float) / STEP
    (row, column), reach = (HEIGHT // 2, WIDTH // 2), 14
    middle = (shown[:, row, column] + shown[:, row - 1, column - 1]) / 2
    np.testing.assert_allclose(middle, [[(WIDTH - 1) / 2, (HEIGHT - 1) / 2]] * 64, atol=0.3)
    arm = shown[:, row, column + reach] - shown[:, row, column - reach]
    np.testing.assert_allclose(np.hypot(*arm.T), 2 * reach, atol=0.5)
    angles = np.degrees(np.arctan2(arm[:, 1], arm[:, 0]))
    assert 15 < abs(angles).max() <= 18.5
    assert angles.min() < 0 < angles.max()


def test_elastic_bends_smoothly_and_folds_nothing():
    masks = np.tile(X, (32, 1, 1))
    pixels, _ = augmented(["elastic"], places(32), masks)
    moved = (pixels[..., :2].astype(float) - places()[..., :2]) / STEP
    inner = moved[:, 12:-12, 12:-12]
    sigma = min(HEIGHT, WIDTH) / 24  # 10 pixels in images of 240 pixels and more
    assert 0.5 * sigma < inner.std() < 1.5 * sigma
    shown = pixels.astype(int)[:, 12:-12, 12:-12]  # neighbours stay in their order
    assert np.diff(shown[..., 0], axis=2).min() >= 0 <= np.diff(shown[..., 1], axis=1).min()
    assert abs(inner - inner.mean(axis=(1, 2), keepdims=True)).max() > 1  # no mere shift


def test_elastic_moves_large_images_by_ten_pixels():
    x = np.tile(np.linspace(0, 255, 320).round().astype(np.uint8), (24, 320, 1))
    _, moved = augmented(["elastic"], x[..., np.newaxis], x)
    shift = (moved.astype(float) - x)[:, 60:-60, 60:-60] / 255 * 319
    assert 6 < shift.std() < 12  # between the points of the grid it is less


@pytest.mark.parametrize("name", ["color", "contrast", "brightness"])
def test_changes_of_colour_leave_the_mask(name):
    pixels, mask = augmented([name], places(4), np.tile(Y, (4, 1, 1)))
    assert (pixels != places(4)).any()
    assert (mask == Y).all()


def test_what_happens_follows_from_the_seed_and_the_step_alone():
    names, mask = list(MASK_AUGMENTATIONS), X[np.newaxis]
    first = augmented(names, places(), mask, seed=3, step=5)
    augmented(names, places(), mask, seed=3, step=4)  # an earlier step changes nothing
    again, other_step, other_seed = (augmented(names, places(), mask, **so) for so in (
        {"seed": 3, "step": 5}, {"seed": 3, "step": 6}, {"seed": 4, "step": 5}))  # fmt: skip
    assert all((one == two).all() for one, two in zip(first, again, strict=True))
    assert (first[1] != other_step[1]).any()
    assert (first[1] != other_seed[1]).any()


def test_it_runs_in_a_pipeline_and_keeps_the_shapes():
    augment = MaskAugmentation(list(MASK_AUGMENTATIONS)).seeded(np.random.default_rng(0))
    batches = tf.data.Dataset.from_tensor_slices((places(5), np.tile(X, (5, 1, 1)))).batch(2).enumerate()
    changed = batches.map(lambda step, batch: augment(*batch, step))
    assert [spec.shape.as_list() for spec in changed.element_spec] == [[None, HEIGHT, WIDTH, 3], [None, HEIGHT, WIDTH]]
    pixels, masks = (np.concatenate(parts) for parts in zip(*changed.as_numpy_iterator(), strict=True))
    assert (pixels.shape, masks.shape) == ((5, HEIGHT, WIDTH, 3), (5, HEIGHT, WIDTH))
    alone = augmented(list(MASK_AUGMENTATIONS), places(2), np.tile(X, (2, 1, 1)), step=1)
    assert (pixels[2:4] == alone[0]).all()
    assert (masks[2:4] == alone[1]).all()


def test_a_name_that_others_have_does_what_it_does_there():
    for name, text in MASK_AUGMENTATIONS.items():
        assert text in (BOX_AUGMENTATIONS.get(name), AUGMENTATIONS.get(name)) or name == "elastic"


def cropped(size, *, count=64, seed=(1, 2)):
    crop = random_crop(tf.constant(places(count)), tf.constant(np.tile(X, (count, 1, 1))), size, tf.constant(seed))
    return tuple(one.numpy() for one in crop)


def test_a_crop_is_the_same_window_of_pixels_and_mask():
    pixels, masks = cropped((20, 30), count=400)
    assert (pixels.shape, masks.shape) == ((400, 20, 30, 3), (400, 20, 30))
    assert (pixels[..., 2] == masks).all()
    tops, lefts = pixels[:, 0, 0, 1] // STEP, masks[:, 0, 0]
    assert (pixels[..., 1] // STEP == tops[:, np.newaxis, np.newaxis] + np.arange(20)[:, np.newaxis]).all()
    assert (masks == lefts[:, np.newaxis, np.newaxis] + np.arange(30)).all()
    assert set(tops) == set(range(HEIGHT - 20 + 1))
    assert set(lefts) == set(range(WIDTH - 30 + 1))
    assert abs(np.corrcoef(tops, lefts)[0, 1]) < 0.2


def test_a_crop_follows_from_its_seed_and_a_whole_one_is_the_image():
    assert (cropped((9, 9))[1] == cropped((9, 9))[1]).all()
    assert (cropped((9, 9))[1] != cropped((9, 9), seed=(1, 3))[1]).any()
    assert (cropped((HEIGHT, WIDTH), count=2)[0] == places(2)).all()


def test_rows_and_columns_of_one_batch_say_nothing_of_those_of_the_next():
    """In a square image, where both are drawn from as many places."""
    place = tf.constant(np.tile(np.arange(40 * 40).reshape(40, 40), (64, 1, 1)))
    starts = []
    for step in range(4):
        _, window = random_crop(place[..., tf.newaxis], place, (10, 10), tf.constant([7, step], tf.int64))
        starts += np.divmod(window.numpy()[:, 0, 0], 40)
    alike = [(one == other).mean() for number, one in enumerate(starts) for other in starts[:number]]
    assert max(alike) < 0.3


@pytest.mark.parametrize("size", [(HEIGHT + 1, 4), (4, WIDTH + 1), (0, 4)])
def test_a_crop_larger_than_the_image_is_refused(size):
    with pytest.raises(ValueError, match=r"expected a window inside of \(48, 60\)"):
        cropped(size)
