import keras
import numpy as np
import pytest

from edgecnn.models import CATALOG
from edgecnn.models.layers import BGRMeans, image_input, scaled_around_zero, scaled_to_one, standardized

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)


def normalized(normalization: object) -> np.ndarray:
    image = image_input((5, 4), 3)
    return np.asarray(keras.Model(image, normalization(image))(PIXELS))


@pytest.mark.parametrize(
    ("application", "normalization"),
    [
        (keras.applications.vgg16, BGRMeans(name="normalization")),
        (keras.applications.vgg19, BGRMeans(name="normalization")),
        (keras.applications.resnet50, BGRMeans(name="normalization")),
        (keras.applications.xception, scaled_around_zero),
        (keras.applications.densenet, standardized),
    ],
    ids=["vgg16", "vgg19", "resnet50", "xception", "densenet"],
)
def test_normalization_equals_what_keras_does_outside_the_graph(application: object, normalization: object) -> None:
    expected = application.preprocess_input(PIXELS.astype("float32"))
    assert np.abs(normalized(normalization) - expected).max() <= 1e-5


def test_bgr_means_turns_red_to_the_end_and_keeps_the_scale() -> None:
    red = np.asarray(BGRMeans()(np.array([[[[255, 0, 0]]]], dtype=np.uint8)))
    np.testing.assert_allclose(red[0, 0, 0], [-103.939, -116.779, 255 - 123.68], rtol=1e-6)


def test_scaled_to_one_maps_white_to_one() -> None:
    np.testing.assert_allclose(normalized(scaled_to_one), PIXELS / 255, atol=1e-6)


def test_rows_with_keras_weights_crop_the_centre_as_those_were_evaluated() -> None:
    rows = [spec for spec in CATALOG.values() if spec.application is not None and spec.task == "classification"]
    devices = {"mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0"}
    assert {spec.name for spec in rows} == {"vgg16", "vgg19", "resnet50", "xception"} | devices
    assert all((spec.resize, spec.crop_fraction) == ("center_crop", 0.875) for spec in rows)
