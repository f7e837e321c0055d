import keras
import numpy as np
import pytest
import tensorflow as tf

from edgecnn.data.targets import IGNORE
from edgecnn.tasks.segmentation.losses import CrossentropyAndDice, PixelCrossentropy, SoftDice

LOSSES = [
    PixelCrossentropy(),
    PixelCrossentropy([1, 2, 3]),
    SoftDice(),
    CrossentropyAndDice(),
    CrossentropyAndDice([1, 2, 3]),
]


def batch(*, ignored=0.3, seed=0, classes=3):
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (2, 5, 4, classes)).astype(np.float32)
    class_ids = random.integers(0, classes, (2, 5, 4)).astype(np.uint8)
    class_ids[random.random(class_ids.shape) < ignored] = IGNORE
    return class_ids, logits


def softmax(logits):
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def crossentropy_by_hand(class_ids, logits, weights):
    scores, total, weight = softmax(logits), 0.0, 0.0
    for place in np.ndindex(class_ids.shape):
        if class_ids[place] != IGNORE:
            total -= weights[class_ids[place]] * np.log(scores[place][class_ids[place]])
            weight += weights[class_ids[place]]
    return total / weight


def dice_by_hand(class_ids, logits):
    said = class_ids != IGNORE
    scores, true, losses = softmax(logits)[said], class_ids[said], []
    for class_id in np.unique(true):
        shared = scores[true == class_id, class_id].sum()
        losses.append(1 - 2 * shared / (scores[:, class_id].sum() + (true == class_id).sum()))
    return np.mean(losses)


@pytest.mark.parametrize("ignored", [0, 0.3, 0.9])
def test_crossentropy_is_keras_own(ignored):
    class_ids, logits = batch(ignored=ignored)
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORE)
    assert float(PixelCrossentropy()(class_ids, logits)) == pytest.approx(float(theirs(class_ids, logits)), rel=1e-5)


@pytest.mark.parametrize("weights", [[1, 1, 1], [0.2, 1, 5], [0, 1, 0]])
def test_crossentropy_is_the_weighted_mean_by_hand(weights):
    class_ids, logits = batch()
    expected = crossentropy_by_hand(class_ids, logits, weights)
    assert float(PixelCrossentropy(weights)(class_ids, logits)) == pytest.approx(expected, rel=1e-5)
    double = PixelCrossentropy([2 * weight for weight in weights])
    assert float(double(class_ids, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("absent", [None, 0, 2])
def test_dice_is_of_the_classes_that_are_there_by_hand(absent):
    class_ids, logits = batch()
    class_ids[class_ids == absent] = 1
    assert float(SoftDice()(class_ids, logits)) == pytest.approx(dice_by_hand(class_ids, logits), rel=1e-5)


def test_dice_of_a_right_answer_is_0_and_of_a_wrong_one_1():
    class_ids = np.array([[[0, 1], [1, IGNORE]]], np.uint8)
    right = 60 * np.eye(2, dtype=np.float32)[np.where(class_ids == IGNORE, 0, class_ids)]
    assert float(SoftDice()(class_ids, right)) == pytest.approx(0, abs=1e-6)
    assert float(SoftDice()(class_ids, -right)) == pytest.approx(1, abs=1e-6)


def test_both_is_the_sum():
    class_ids, logits = batch()
    expected = crossentropy_by_hand(class_ids, logits, [1, 2, 3]) + dice_by_hand(class_ids, logits)
    assert float(CrossentropyAndDice([1, 2, 3])(class_ids, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.name} {getattr(loss, 'class_weights', None)}")
def test_what_is_ignored_has_no_part(loss):
    class_ids, logits = batch()
    other = logits.copy()
    other[class_ids == IGNORE] = 50
    assert float(loss(class_ids, logits)) == pytest.approx(float(loss(class_ids, other)), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.name} {getattr(loss, 'class_weights', None)}")
@pytest.mark.parametrize("ignored", [1, 0.3])
def test_a_batch_of_ignored_pixels_costs_0_and_no_gradient_is_nan(loss, ignored):
    class_ids, logits = batch(ignored=ignored)
    variable = tf.Variable(100 * logits)
    with tf.GradientTape() as tape:
        value = loss(class_ids, variable)
    gradient = tape.gradient(value, variable).numpy()
    assert np.isfinite(gradient).all()
    if ignored == 1:
        assert float(value) == 0
        assert not gradient.any()
    else:
        assert not gradient[class_ids == IGNORE].any()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.name} {getattr(loss, 'class_weights', None)}")
def test_losses_are_saved_and_read_again(loss):
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    class_ids, logits = batch()
    assert type(again) is type(loss)
    assert float(again(class_ids, logits)) == float(loss(class_ids, logits))


@pytest.mark.parametrize("loss", LOSSES[-1:])
def test_a_network_learns_by_them(loss):
    class_ids, pixels = batch(classes=3)
    model = keras.Sequential([keras.Input((5, 4, 3)), keras.layers.Conv2D(3, 1)])
    model.compile(keras.optimizers.Adam(0.1), loss=loss)
    history = model.fit(pixels, np.where(class_ids == IGNORE, IGNORE, pixels.argmax(axis=-1)), epochs=30, verbose=0)
    assert history.history["loss"][-1] < 0.4 * history.history["loss"][0]


@pytest.mark.parametrize("weights", [[-1, 1], [0, 0], [float("nan"), 1], [float("inf"), 1]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="expected numbers from 0, not all of them 0"):
        PixelCrossentropy(weights)
