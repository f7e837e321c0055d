import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn.augmentations import BOX_AUGMENTATIONS
from edgecnn.data.augment_boxes import BoxAugmentation, Move, move_boxes, move_pixels

HEIGHT, WIDTH = 40, 60
MOVING = ["flip", "vertical_flip", "shift", "scale", "crop"]
FLIP = Move(tf.constant([[-1.0, 1.0]]), tf.constant([[float(WIDTH), 0.0]]))


@st.composite
def boxes(draw):
    """A box with whole edges, of at least 6 pixels a side."""
    x1, y1 = draw(st.integers(0, WIDTH - 6)), draw(st.integers(0, HEIGHT - 6))
    return x1, y1, draw(st.integers(x1 + 6, WIDTH)), draw(st.integers(y1 + 6, HEIGHT))


factors = st.floats(0.5, 2).flatmap(lambda factor: st.sampled_from([factor, -factor]))
offsets = st.floats(-30, 30)


def drawn(box, channels=1):
    pixels = np.zeros((1, HEIGHT, WIDTH, channels), np.uint8)
    x1, y1, x2, y2 = box
    pixels[:, y1:y2, x1:x2] = 255
    return pixels


def found(pixels):
    """The box round what is bright."""
    rows, columns = np.nonzero(pixels[0, :, :, 0] > 191)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def augmented(names, pixels, boxes, *, seed=0, step=0):
    augment = BoxAugmentation(names).seeded(np.random.default_rng(seed))
    arguments = tf.constant(pixels), tf.constant(boxes, tf.float32), tf.constant(step, tf.int64)
    return tuple(result.numpy() for result in augment(*arguments))


@given(boxes())
@settings(max_examples=30)
def test_flipping_twice_is_the_identity(box):
    pixels, there = drawn(box).astype(np.float32), tf.constant([[box]], tf.float32)
    assert (move_pixels(move_pixels(pixels, FLIP), FLIP).numpy() == pixels).all()
    assert (move_boxes(move_boxes(there, FLIP, (HEIGHT, WIDTH)), FLIP, (HEIGHT, WIDTH)) == there).numpy().all()
    assert (move_pixels(pixels, FLIP.after(FLIP)).numpy() == pixels).all()


@given(boxes())
@settings(max_examples=10)
def test_a_flip_is_numpys(box):
    assert (move_pixels(drawn(box).astype(np.float32), FLIP).numpy() == drawn(box)[:, :, ::-1]).all()


@given(boxes(), st.integers(0, 1000))
@settings(max_examples=10)
def test_a_vertical_flip_is_numpys_for_pixels_and_box(box, step):
    pixels, (changed, moved) = drawn(box), augmented(["vertical_flip"], drawn(box), [[box]], step=step)
    flipped = (changed != pixels).any()
    assert (changed == (pixels[:, ::-1] if flipped else pixels)).all()
    x1, y1, x2, y2 = box
    expected = (x1, HEIGHT - y2, x2, HEIGHT - y1) if flipped else box
    assert moved[0, 0].tolist() == list(expected)


@given(boxes(), factors, factors, offsets, offsets)
@settings(max_examples=100)
def test_no_box_leaves_the_image_and_what_is_kept_is_seen_enough(box, across, down, x, y):
    move = Move(tf.constant([[across, down]], tf.float32), tf.constant([[x, y]], tf.float32))
    ((moved,),) = move_boxes(tf.constant([[box]], tf.float32), move, (HEIGHT, WIDTH)).numpy()
    assert (moved >= 0).all()
    assert (moved <= (WIDTH, HEIGHT, WIDTH, HEIGHT)).all()
    # brute force: of a fine grid in the box, the part that the move brings into the image
    steps = (np.arange(50) + 0.5) / 50
    xs = (box[0] + steps * (box[2] - box[0]) - x) / across
    ys = (box[1] + steps * (box[3] - box[1]) - y) / down
    share = ((xs > 0) & (xs < WIDTH)).mean() * ((ys > 0) & (ys < HEIGHT)).mean()
    if share > 0.45:
        assert (moved[2:] > moved[:2]).all()
    if share < 0.35:
        assert not moved.any()


@given(boxes(), st.lists(st.sampled_from(MOVING), min_size=1, max_size=4), st.integers(0, 1000))
@settings(max_examples=60)
def test_a_box_is_found_again_where_the_arithmetic_says(box, names, step):
    pixels, moved = augmented(names, drawn(box), [[box]], step=step)
    assert moved.any()  # an image that would lose its only box stays
    assert abs(found(pixels) - moved[0, 0]).max() <= 1


def test_boxes_that_are_lost_are_zeros_and_the_others_stay_in_their_places():
    there = [[(0, 0, 10, 10), (40, 10, 60, 30), (0, 0, 0, 0)]]
    away = Move(tf.constant([[1.0, 1.0]]), tf.constant([[8.0, 0.0]]))  # to the left by 8
    moved = move_boxes(tf.constant(there, tf.float32), away, (HEIGHT, WIDTH)).numpy()
    assert moved.tolist() == [[[0, 0, 0, 0], [32, 10, 52, 30], [0, 0, 0, 0]]]
    kept = move_boxes(tf.constant(there, tf.float32), away, (HEIGHT, WIDTH), least_visible=0.2).numpy()
    assert kept[0, 0].tolist() == [0, 0, 2, 10]


def test_of_boxes_that_are_not_learned_whatever_is_left_stays():
    there = tf.constant([[(0, 0, 10, 10), (0, 20, 10, 30), (0, 0, 8, 30), (0, 0, 0, 0)]], tf.float32)
    away = Move(tf.constant([[1.0, 1.0]]), tf.constant([[9.5, 0.0]]))  # to the left by 9.5
    learned = tf.constant([[True, False, False, False]])
    moved = move_boxes(there, away, (HEIGHT, WIDTH), learned=learned).numpy()
    assert moved.tolist() == [[[0, 0, 0, 0], [0, 20, 0.5, 30], [0, 0, 0, 0], [0, 0, 0, 0]]]


def test_an_image_whose_learned_boxes_would_be_lost_stays_though_a_region_would_be_left():
    pixels, there = np.zeros((64, HEIGHT, WIDTH, 1), np.uint8), np.zeros((64, 2, 4), np.float32)
    there[:] = [(0, 0, 3, 3), (0, 0, WIDTH, HEIGHT)]  # one in the corner, and a region all over
    learned = tf.constant(np.tile([True, False], (64, 1)))
    augment = BoxAugmentation(["crop"]).seeded(np.random.default_rng(0))
    _, moved = (
        one.numpy() for one in augment(tf.constant(pixels), tf.constant(there), tf.constant(0, tf.int64), learned)
    )
    assert moved[:, 0].any(axis=1).all()
    _, alone = (one.numpy() for one in augment(tf.constant(pixels), tf.constant(there), tf.constant(0, tf.int64)))
    assert not alone[:, 0].any(axis=1).all()


def test_where_a_moved_image_ends_it_is_gray():
    away = Move(tf.constant([[1.0, 1.0]]), tf.constant([[8.0, 0.0]]))
    pixels = move_pixels(tf.zeros((1, HEIGHT, WIDTH, 3)), away).numpy()
    assert (pixels[:, :, -8:] == 127).all()
    assert not pixels[:, :, :-8].any()


@pytest.mark.parametrize("name", BOX_AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(5, 20, 30, 1), (5, 17, 13, 3)])
def test_every_name_changes_each_image_in_its_own_way(name, shape):
    pixels = np.repeat(np.random.default_rng(0).integers(0, 256, (1, *shape[1:]), np.uint8), shape[0], axis=0)
    there = np.tile(np.array([2, 3, 9, 12], np.float32), (shape[0], 1, 1))
    changed, moved = augmented([name], pixels, there, step=3)
    assert (changed.dtype, changed.shape, moved.dtype, moved.shape) == (np.uint8, shape, np.float32, there.shape)
    assert len(np.unique(changed, axis=0)) > 1
    assert (moved == there).all() == (name not in MOVING)


def test_an_augmentation_follows_from_seed_and_step_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 20, 30, 3), np.uint8)
    there = np.tile(np.array([2, 3, 9, 12], np.float32), (4, 1, 1))
    names = list(BOX_AUGMENTATIONS)
    first, again = (augmented(names, pixels, there, seed=1, step=2) for _ in range(2))
    others = [augmented(names, pixels, there, seed=1, step=3), augmented(names, pixels, there, seed=2, step=2)]
    assert all((one == two).all() for one, two in zip(first, again, strict=True))
    for other in others:
        assert (other[0] != first[0]).any()
        assert (other[1] != first[1]).any()


def test_an_augmentation_works_in_a_pipeline():
    pixels = np.zeros((4, 20, 30, 3), np.uint8)
    augment = BoxAugmentation(list(BOX_AUGMENTATIONS)).seeded(np.random.default_rng(0))
    batches = tf.data.Dataset.from_tensor_slices((pixels, np.zeros((4, 2, 4), np.float32))).batch(2).enumerate()
    changed = list(batches.map(lambda step, batch: augment(*batch, step)).as_numpy_iterator())
    assert [(x.shape, boxes.any()) for x, boxes in changed] == [((2, 20, 30, 3), False)] * 2
