import json

import keras
import numpy as np
import pytest
from keras import layers

from edgecnn.adopting.architecture import read_architecture
from edgecnn.adopting.scaling import find_scaling, same_scaling, usual_scaling
from edgecnn_runtime.pixel_scaling import PIXEL_SCALINGS, PixelScaling

MODULES = ("vgg16", "resnet", "resnet_v2", "mobilenet_v2", "densenet", "inception_v3", "nasnet", "xception")
SHAPE = (8, 8, 3)


def found_in(model: keras.Model, image: str | None = None):
    architecture = read_architecture(json.loads(model.to_json()))
    return find_scaling(architecture, image or architecture.inputs[0].name)


def headed(x: keras.KerasTensor, image: keras.KerasTensor) -> keras.Model:
    return keras.Model(image, layers.Flatten()(layers.Conv2D(2, 3, name="first")(x)))


def affine(found, pixels: np.ndarray) -> np.ndarray:
    ordered = pixels[..., ::-1] if found.bgr else pixels
    return ordered * np.array(found.scale) + np.array(found.offset)


@pytest.mark.parametrize("module", MODULES)
def test_preprocessing_of_keras_applications_is_recognised(module):
    preprocess = getattr(keras.applications, module).preprocess_input
    image = keras.Input(SHAPE)
    found = found_in(headed(preprocess(image), image))

    pixels = np.random.default_rng(0).integers(0, 256, (1, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(affine(found, pixels), preprocess(pixels.copy()), atol=1e-4)
    assert found.takes("raw")
    assert found.steps


@pytest.mark.slow
@pytest.mark.parametrize("name", ["EfficientNetV2B0", "MobileNetV3Small", "ConvNeXtTiny"])
def test_what_an_application_does_itself_is_found_inside_it(name):
    body = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(32, 32, 3))
    image = keras.Input((32, 32, 3))
    for model in (body, keras.Model(image, body(image))):
        found = found_in(model)
        span = 255 * max(found.scale)
        assert found.takes("raw")
        assert 1 <= span <= 5, name


def test_layers_of_ones_own_scaling_are_found_behind_what_changes_no_pixel():
    image = keras.Input(SHAPE)
    x = layers.RandomFlip()(image)
    x = layers.Rescaling(1 / 127.5, offset=-1)(layers.Dropout(0.1)(x))
    assert found_in(headed(x, image)).scale == pytest.approx((1 / 127.5,))

    known = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 4.0, 16.0])
    found = found_in(headed(known(image), image))
    assert (found.scale, found.offset) == (pytest.approx((0.5, 0.5, 0.25)), pytest.approx((-0.5, -1.0, -0.75)))

    learned = layers.Normalization()
    learned.adapt(np.random.default_rng(0).uniform(0, 255, (4, *SHAPE)))
    found = found_in(headed(learned(image), image))
    assert found.learned
    assert found.takes("raw")
    assert not found.takes("unit")


def test_colours_that_are_turned_by_a_slice_are_found():
    image = keras.Input(SHAPE)
    assert found_in(headed(image[..., ::-1] / 255, image)).bgr


@pytest.mark.parametrize(
    "scaled",
    [
        lambda x: layers.BatchNormalization()(x),
        lambda x: layers.Add()([layers.Rescaling(1 / 255)(x), x]),
        lambda x: layers.Activation("relu")(x),
        lambda x: x,
    ],
)
def test_nothing_is_found_where_nothing_is_scaled(scaled):
    image = keras.Input(SHAPE)
    assert not found_in(headed(scaled(image), image)).steps


def test_scaling_for_numbers_that_are_scaled_before_says_which_fit():
    image = keras.Input(SHAPE)
    found = found_in(headed(layers.Rescaling(2.0, offset=-1)(image), image))
    assert [name for name in PIXEL_SCALINGS if found.takes(name)] == ["unit", "signed", "torch"]


def test_sequential_models_without_an_input_are_followed():
    model = keras.Sequential([layers.Rescaling(1 / 255), layers.Conv2D(2, 3), layers.Flatten()])
    model(np.zeros((1, *SHAPE), np.float32))
    assert found_in(model).takes("raw")
    nested = keras.Sequential([keras.Input(SHAPE), keras.Sequential([layers.Rescaling(1 / 255)]), layers.Conv2D(2, 3)])
    assert found_in(nested).takes("raw")


def test_usual_scaling_tells_versions_apart():
    assert [
        usual_scaling([name]) for name in ("resnet50", "resnet50v2", "mobilenetv2_1.00_96", "MobilenetV3small")
    ] == [
        ("resnet50", "caffe"),
        ("resnet50v2", "signed"),
        ("mobilenetv2_1.00_96", "signed"),
        None,
    ]


def test_same_scaling_compares_what_pixels_become():
    unit = PIXEL_SCALINGS["unit"]
    assert same_scaling(unit, PixelScaling((0.0, 0.0, 0.0), (255.0,)))
    assert not same_scaling(unit, PIXEL_SCALINGS["signed"])
    assert not same_scaling(unit, PixelScaling((0.0,), (255.0,), bgr=True))
