"""Blocks of transformers and of ConvNeXt as Keras builds them, through the whole conversion."""

import keras
import numpy as np
import onnx
import pytest

from edgecnn_exporters.graph.convert import convert
from edgecnn_exporters.graph.publish import finish
from edgecnn_runtime.session import Session

SIZE = (8, 6, 3)
LAYERS = keras.layers


def block(x):
    """Liu et al. 2022, "A ConvNet for the 2020s", with a scale that is not almost 0."""
    y = LAYERS.DepthwiseConv2D(3, padding="same")(x)
    y = LAYERS.LayerNormalization(epsilon=1e-6)(y)
    y = LAYERS.Dense(16, activation="gelu")(y)
    y = LAYERS.Dense(x.shape[-1])(y)
    return LAYERS.Add()([x, LAYERS.Rescaling([0.5, -1.5, 2.0, 1.0])(y)])


def rows(x):
    return LAYERS.Dense(4, activation="gelu")(LAYERS.LayerNormalization()(LAYERS.Reshape((-1, 4))(x)))


def flat(x):
    return LAYERS.LayerNormalization(scale=False)(LAYERS.Flatten()(x))


def grouped(x):
    return LAYERS.GroupNormalization(2)(x)


def tall(x):
    return LAYERS.LayerNormalization(axis=1)(x)


@pytest.mark.parametrize(
    ("layers", "operators"),
    [
        (block, {"LayerNormalization": 1, "Gemm": 2, "Mul": 3, "Add": 2, "Erf": 1}),
        (rows, {"LayerNormalization": 1, "Gemm": 1, "Erf": 1}),
        (flat, {"LayerNormalization": 1, "ReduceMean": 0}),
        (grouped, {"LayerNormalization": 0}),
        (tall, {"LayerNormalization": 0}),
    ],
)
@pytest.mark.parametrize("opset", [16, 17, 18])
@pytest.mark.parametrize("batch", [1, None])
def test_a_block_answers_as_keras(layers, operators, opset, batch, tmp_path):
    keras.utils.set_random_seed(0)
    image = keras.Input(SIZE, dtype="uint8")
    x = LAYERS.Conv2D(4, 3)(LAYERS.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers(x))
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight.numpy() + random.normal(0, 0.3, weight.shape))
    path = tmp_path / "block.onnx"
    converted = convert(model, output_names=["y"], batch=batch, opset=opset)
    finish(converted, path, input_names=["image"], output_names=["y"], batch=batch)
    found = [node.op_type for node in onnx.load(path).graph.node]
    if opset > 16:
        assert {name: found.count(name) for name in operators} == operators
    session = Session(path.read_bytes(), device="cpu")
    for pixels in random.integers(0, 256, (3, batch or 2, *SIZE)).astype(np.uint8):
        np.testing.assert_allclose(session.run({"image": pixels})["y"], model(pixels).numpy(), rtol=1e-5, atol=1e-5)
