import importlib
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgecnn_exporters import export
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo, OutputSpec, SoftmaxDecoder

SIZE = (12, 10)
CLASSES = 3


def build(*layers, size=SIZE, channels=1, classes=CLASSES, seed=0):
    """A CNN from uint8 pixels to logits; `layers` stand where the usual ones would. No bias is 0."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((*size, channels), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 255, name="normalization")(image)
    for layer in layers or usual_layers():
        x = layer(x)
    x = keras.layers.Flatten(name="flatten")(x)
    model = keras.Model(image, keras.layers.Dense(classes, name="logits")(x))
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(weight.numpy() + random.uniform(0.05, 0.2, weight.shape))
    return model


def usual_layers():
    return (
        keras.layers.Conv2D(4, 3, padding="same", name="conv"),
        keras.layers.BatchNormalization(name="bn"),
        keras.layers.ReLU(name="relu"),
        keras.layers.MaxPooling2D(name="pool"),
        keras.layers.Dropout(0.5, name="dropout"),
    )


def describe(model, *, labels=None, name="test_cnn"):
    height, width, channels = model.input_shape[1:]
    image = ImageInput(name="image", height=height, width=width, color="rgb" if channels == 3 else "gray")
    outputs = (OutputSpec("logits", (model.output_shape[-1],)),)
    return Manifest("classification", ModelInfo(name, 1.0), (image,), labels, SoftmaxDecoder(), outputs)


class KerasReference:
    """A Keras model behind the runtime's protocol."""

    def __init__(self, model):
        self.call = tf.function(lambda pixels: model(pixels, training=False), reduce_retracing=True)

    def run(self, feeds):
        return {"logits": self.call(tf.constant(feeds["image"])).numpy()}


def draw(count, *, size=SIZE, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, channels), dtype=np.uint8)


def export_to(model, path, **options):
    options.setdefault("reference", KerasReference(model))
    return export(model, options.pop("manifest", None) or describe(model), path, **options)


@pytest.fixture(scope="session")
def make_model():
    return build


@pytest.fixture(scope="session")
def make_manifest():
    return describe


@pytest.fixture(scope="session")
def make_pixels():
    return draw


@pytest.fixture(scope="session")
def make_reference():
    return KerasReference


@pytest.fixture(scope="session")
def export_model():
    return export_to


@pytest.fixture(scope="session")
def model():
    return build()


@pytest.fixture(scope="session")
def exported(model, tmp_path_factory):
    """The report of an export that passed; its file must not be changed."""
    return export_to(model, tmp_path_factory.mktemp("exported") / "model.onnx", seed=7)


@pytest.fixture
def export_module():
    """The module, which the function of that name hides."""
    return importlib.import_module("edgecnn_exporters.export")


@pytest.fixture
def files_in():
    return lambda folder: sorted(path.name for path in Path(folder).iterdir())
