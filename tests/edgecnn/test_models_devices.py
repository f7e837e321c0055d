"""MobileNetV3 and EfficientNet beside those of Keras: equal layers, weights and answers, at any width and size."""

import keras
import numpy as np
import pytest
from keras.src.applications.efficientnet import EfficientNet  # Keras' public ones have one width each

from edgecnn.models import build_model
from edgecnn_runtime.pixel_scaling import IMAGENET_DEVIATIONS, IMAGENET_MEANS

CLASSES = 5


def keras_of(name: str, size: tuple[int, int], width: float) -> keras.Model:
    options = {"weights": None, "classes": CLASSES, "input_shape": (*size, 3), "classifier_activation": None}
    match name:
        case "mobilenet_v3_small":
            return keras.applications.MobileNetV3Small(alpha=width, **options)
        case "mobilenet_v3_large":
            return keras.applications.MobileNetV3Large(alpha=width, **options)
        case _:
            return EfficientNet(width, 1.0, size[0], **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0"])
@pytest.mark.parametrize(("width", "size"), [(0.25, (33, 64)), (0.6, (64, 47)), (1.0, (64, 96)), (1.3, (50, 50))])
def test_build_model_equals_kerass_at_any_width(name: str, width: float, size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    ours = build_model(name, image_size=size, num_classes=CLASSES, width=width)
    theirs = keras_of(name, size, width)
    given = set()
    for layer in theirs.layers:
        if not layer.weights or isinstance(layer, keras.layers.Normalization):
            continue
        weights = [random.uniform(0.5, 1.5, one.shape) if one.ndim == 1 else one for one in layer.get_weights()]
        layer.set_weights(weights)
        mine = ours.get_layer("logits" if layer.name == "predictions" else layer.name)
        if isinstance(mine, keras.layers.Dense) and isinstance(layer, keras.layers.Conv2D):  # over one cell
            weights[0] = weights[0][0, 0]
        assert [one.shape for one in weights] == [one.shape for one in mine.weights]
        mine.set_weights(weights)
        given.add(mine.name)
    assert given == {layer.name for layer in ours.layers if layer.weights}
    pixels = random.integers(0, 256, (2, *size, 3), np.uint8)
    taken = pixels.astype(np.float32)
    if name == "efficientnet_b0":  # without ImageNet's weights Keras' divides by 255 alone
        taken = 255 * (taken / 255 - IMAGENET_MEANS) / IMAGENET_DEVIATIONS
    expected = np.asarray(theirs(taken))
    assert np.abs(ours(pixels) - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0"])
def test_build_model_has_the_settings_of_kerass(name: str) -> None:
    ours, theirs = build_model(name, image_size=(32, 32), num_classes=CLASSES), keras_of(name, (32, 32), 1.0)
    named = {layer.name: settings_of(layer) for layer in ours.layers}
    expected = {layer.name: settings_of(layer) for layer in theirs.layers if layer.name in named}
    if name == "efficientnet_b0":
        expected["logits"] = settings_of(theirs.get_layer("predictions"))
    assert len(expected) > 100
    assert "logits" in expected
    assert {name: named[name] for name in expected} == expected


def settings_of(layer: keras.Layer) -> dict[str, str]:
    """What no answer shows: how weights begin, and what is done in training alone."""
    config = layer.get_config()
    keys = ("kernel_initializer", "depthwise_initializer", "bias_initializer", "momentum", "rate", "noise_shape")
    return {key: str(config[key]) for key in keys if config.get(key) is not None}
