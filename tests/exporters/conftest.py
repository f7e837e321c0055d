import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

from edgecnn.tasks.classification.metric import Accuracy
from edgecnn_exporters import export
from edgecnn_exporters.candidate import Candidate
from edgecnn_exporters.graph.layer_names import mark
from edgecnn_exporters.graph.writer import Converted
from edgecnn_runtime.decoders import OutputSpec, SoftmaxDecoder
from edgecnn_runtime.inputs import Batch
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.classification import Classification

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
        self.model = model
        self.call = tf.function(self._call, reduce_retracing=True, autograph=False)  # which Keras keeps off layers

    def _call(self, pixels):
        return self.model(pixels, training=False)

    def run(self, feeds):
        return {"logits": self.call(tf.constant(feeds["image"])).numpy()}

    def results(self, outputs, placements, _manifest=None):
        return own_results(outputs, placements)


def own_results(outputs, placements):
    """The source's own answer: TensorFlow's softmax."""
    scores = tf.nn.softmax(outputs["logits"]).numpy()
    return [
        Classification(row, labels=None, shape=place.image_size) for row, place in zip(scores, placements, strict=True)
    ]


def draw(count, *, size=SIZE, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, channels), dtype=np.uint8)


def batch_of(pixels, truths=None):
    """Pixels that are whole images, and what the data say of them."""
    return Batch({"image": pixels}, [Placement(pixels.shape[1:3], (1.0, 1.0), (0.0, 0.0))] * len(pixels), truths)


def export_to(model, path, **options):
    """Exports; evaluation may be given as pairs of pixels and class ids."""
    pairs = options.get("evaluation")
    if pairs is not None:
        batches = (batch_of(*pair) for pair in pairs)
        options["evaluation"] = batches if isinstance(pairs, Iterator) else list(batches)
    options.setdefault("reference", KerasReference(model))
    manifest = options.pop("manifest", None) or describe(model)
    options.setdefault("metric", lambda: Accuracy(manifest))
    return export(model, manifest, path, **options)


TINY_SIZE, TINY_CHANNELS, TINY_CLASSES = 8, 4, 3
TINY_MANIFEST = Manifest(
    "classification",
    ModelInfo("tiny", 1.0),
    (ImageInput("image", TINY_SIZE, TINY_SIZE, "gray"),),
    ("a", "b", "c"),
    SoftmaxDecoder(),
    (OutputSpec("logits", (TINY_CLASSES,)),),
)


# Float32 graphs as the exporter writes them, made without Keras: a stem, two convolutions, a matrix product.


def build_tiny(*, spread=1.0, batch=1, seed=0, size=TINY_SIZE, output_bias=(0.0, 0.0, 0.0)):
    """A ModelProto; one of the four channels between the layers "wide" and "narrow" is `spread` times the others."""
    random = np.random.default_rng(seed)
    scale = np.array([spread, 1, 1, 1], np.float32).reshape(4, 1, 1, 1)
    weights = {
        "divisor": np.float32(1 / 255),
        "stem_w": random.normal(0, 0.5, (TINY_CHANNELS, 1, 3, 3)),
        "wide_w": random.normal(0, 0.5, (TINY_CHANNELS, TINY_CHANNELS, 3, 3)) * scale,
        "narrow_w": np.full((TINY_CHANNELS, 1, 1, 1), 1.0) / scale,
        "logits_w": random.normal(0, 1, (TINY_CHANNELS, TINY_CLASSES)),
        "logits_b": np.asarray(output_bias),
    }
    chain = [
        ("Cast", "normalization", ["image"], {"to": TensorProto.FLOAT}),
        ("Mul", "normalization", ["", "divisor"], {}),
        ("Transpose", "stem", [""], {"perm": [0, 3, 1, 2]}),
        ("Conv", "stem", ["", "stem_w"], {}),
        ("Relu", "stem", [""], {}),
        ("Conv", "wide", ["", "wide_w"], {}),
        ("Relu", "wide", [""], {}),
        ("Conv", "narrow", ["", "narrow_w"], {"group": TINY_CHANNELS}),
        ("GlobalAveragePool", "pool", [""], {}),
        ("Flatten", "flatten", [""], {}),
        ("Gemm", "logits", ["", "logits_w", "logits_b"], {}),
    ]
    nodes, last = [], ""
    for number, (operator, layer, inputs, attributes) in enumerate(chain):
        output = "logits" if number == len(chain) - 1 else f"t{number}"
        names = [name or last for name in inputs]
        nodes.append(helper.make_node(operator, names, [output], mark(layer, number), **attributes))
        last = output
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch or "batch", size, size, 1])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch or "batch", TINY_CLASSES])],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def write_tiny(folder, **options):
    """A graph whose classes are about equally frequent, written as a candidate."""
    batch = options.setdefault("batch", 1)
    size = options.get("size", TINY_SIZE)
    manifest = dataclasses.replace(TINY_MANIFEST, inputs=(ImageInput("image", size, size, "gray"),))
    first = Candidate.convert(
        Converted(build_tiny(**{**options, "batch": None})), folder / "first.onnx", manifest, None
    )
    logits = first.load().run({"image": np.concatenate(draw_tiny(64, size=size))})["logits"]
    first.path.unlink()
    model = build_tiny(**options, output_bias=-np.median(logits, axis=0))
    return Candidate.convert(Converted(model), folder / "float32.onnx", manifest, batch)


def draw_tiny(count, *, size=TINY_SIZE, seed=1, batch_size=16):
    """Noise of many brightnesses, in batches (N, H, W, 1)."""
    random = np.random.default_rng(seed)
    noise = random.uniform(0, 1, (count, size, size, 1)) * random.uniform(20, 255, (count, 1, 1, 1))
    images = noise.astype(np.uint8)
    return [images[first : first + batch_size] for first in range(0, count, batch_size)]


def feed(batches):
    """Batches of pixels as a graph takes them."""
    return [{"image": pixels} for pixels in batches]


class OneByOne:
    """A file of a fixed batch or of any behind the source's protocol, for batches that it divides."""

    def __init__(self, candidate):
        self.session = candidate.load()

    def run(self, feeds):
        images, step = feeds["image"], self.session.batch or len(feeds["image"])
        parts = [images[first : first + step] for first in range(0, len(images), step)]
        return {"logits": np.concatenate([self.session.run({"image": part})["logits"] for part in parts])}

    def results(self, outputs, placements, _manifest=None):
        return own_results(outputs, placements)


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
def make_batch():
    return batch_of


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


@pytest.fixture(scope="session")
def tiny():
    """Keras-free graphs: their builder, writer, images, and a reference that answers as a file does."""
    return SimpleNamespace(
        build=build_tiny, write=write_tiny, draw=draw_tiny, feeds=feed, manifest=TINY_MANIFEST, reference=OneByOne
    )
