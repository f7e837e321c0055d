import keras
import numpy as np
import pytest

from edgecnn.models.any_size import resized
from edgecnn.models.build import build_model

SIZES = [(64, 96), (96, 64), (32, 32)]


@pytest.fixture(scope="module")
def detector():
    return build_model("yolov3_tiny", image_size=(64, 96), num_classes=3, width=0.05, seed=1)


@pytest.mark.parametrize("size", SIZES)
def test_a_model_of_any_size_answers_like_one_that_is_built_for_it(detector, size):
    other = build_model("yolov3_tiny", image_size=size, num_classes=3, width=0.05, seed=2)
    other.set_weights(detector.get_weights())
    image = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    for given, expected in zip(resized(detector, (None, None))(image), other(image), strict=True):
        assert given.shape == expected.shape
        np.testing.assert_allclose(given, expected, atol=1e-5)


def test_both_have_the_same_weights_the_same_names_and_learn_together(detector):
    free = resized(detector, (None, None))
    assert free.output_names == detector.output_names
    assert all(one is other for one, other in zip(free.weights, detector.weights, strict=True))
    assert free.input_shape == (None, None, None, 3)


def test_a_saved_model_of_any_size_becomes_one_of_fixed_size_again(detector, tmp_path):
    resized(detector, (None, None)).save(tmp_path / "free.keras")
    fixed = resized(keras.models.load_model(tmp_path / "free.keras"), (64, 96))
    assert fixed.output_shape == detector.output_shape
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    for given, expected in zip(fixed(image), detector(image), strict=True):
        np.testing.assert_allclose(given, expected, atol=1e-5)
    fixed.save(tmp_path / "fixed.keras")
    assert "SplitUnits" not in keras.models.load_model(tmp_path / "fixed.keras").to_json()
