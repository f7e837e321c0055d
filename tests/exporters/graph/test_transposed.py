"""Transposed convolutions of a free size, against Keras at several sizes, and what is left of them in the graph."""

from collections import Counter

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from keras import layers

from edgecnn_exporters.graph.convert import convert
from edgecnn_exporters.graph.publish import finish
from edgecnn_exporters.graph.transposed import transposed_handlers

FREE = (None, None)
SIZES = ((3, 5), (4, 2), (1, 1))
CUTTING = {"Shape", "Slice", "Pad"}


def enlarging(size, *args, **options):
    keras.utils.set_random_seed(0)
    image = keras.Input((*size, 2), dtype="uint8", name="image")
    x = layers.Conv2D(3, 1, activation="relu")(layers.Rescaling(1 / 255, name="normalization")(image))
    x = layers.Conv2DTranspose(4, *args, name="up", bias_initializer="normal", **options)(x)
    return keras.Model(image, layers.Conv2D(2, 1, name="logits")(x))


def assert_alike(model, folder, *, sizes=SIZES, batch=1):
    """Compares the published graph with the model and returns its operators, with their number."""
    path = folder / "model.onnx"
    converted = convert(model, output_names=["logits"], batch=batch)
    finish(converted, path, input_names=["image"], output_names=["logits"], batch=batch)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for size in sizes:
        for count in [1] if batch == 1 else [1, 3]:
            image = np.random.default_rng(1).integers(0, 256, (count, *size, 2), dtype=np.uint8)
            expected = np.asarray(model(image))
            (received,) = session.run(None, {"image": image})
            assert received.shape == expected.shape
            np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("batch", [1, None])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "bias"),
    [
        (2, 2, "valid", True),
        (2, 2, "same", True),
        (5, 2, "valid", True),
        (4, 2, "same", False),
        (16, 8, "same", False),
        (3, 2, "same", True),
        ((5, 4), (3, 2), "same", True),
        (3, 3, "same", False),
        (2, 1, "same", True),
        (2, 3, "valid", True),
        (1, 2, "same", False),
    ],
)
def test_a_transposed_convolution_of_any_size_is_one_operator(kernel, stride, padding, bias, batch, tmp_path):
    model = enlarging(FREE, kernel, strides=stride, padding=padding, use_bias=bias)
    operators = assert_alike(model, tmp_path, batch=batch)
    assert operators["ConvTranspose"] == 1
    assert not set(operators) & CUTTING


@pytest.mark.parametrize("size", [(None, 5), (3, None)])
def test_a_transposed_convolution_of_one_free_side_is_one_operator(size, tmp_path):
    sizes = [tuple(given or side for given, side in zip(size, one, strict=True)) for one in SIZES]
    operators = assert_alike(enlarging(size, 4, strides=2, padding="same"), tmp_path, sizes=sizes)
    assert operators["ConvTranspose"] == 1
    assert not set(operators) & CUTTING


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1},
        {"kernel_size": 3, "strides": 1, "padding": "same", "dilation_rate": 2},
    ],
)
def test_a_transposed_convolution_that_is_reckoned_otherwise_answers_alike(options, tmp_path):
    assert_alike(enlarging(FREE, **options), tmp_path)


def test_a_fixed_size_is_left_to_tf2onnx():
    model = enlarging((3, 5), 4, strides=2, padding="same")
    traced = tf.function(lambda x: model(x), autograph=False).get_concrete_function(
        tf.TensorSpec((1, 3, 5, 2), "uint8")
    )
    assert transposed_handlers(traced.graph) == {}
