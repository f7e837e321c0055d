"""Blocks whose sums and activations have no use for 8 bits: ConvNeXt's, and the layers of a vision transformer."""

import keras
import numpy as np
import onnx
import pytest

from edgecnn_exporters.graph.convert import convert
from edgecnn_exporters.graph.publish import finish
from edgecnn_exporters.quantization.calibration import Calibrator
from edgecnn_exporters.quantization.quantize import INT8_OPERATORS, int8_layers, quantize_int8, write_source
from edgecnn_exporters.rewrites import rewrite
from edgecnn_runtime.session import Session

SIZE, CHANNELS, BLOCKS = (16, 16, 3), 8, 6
LAYERS = keras.layers


def reduced(layers, folder, *, opset=17, method="trimmed"):
    """Layers behind pixels: in float32 as int8 starts from it, in int8, and pictures that were not calibrated on."""
    keras.utils.set_random_seed(3)
    image = keras.Input(SIZE, dtype="uint8")
    model = keras.Model(image, layers(LAYERS.Rescaling(1 / 255)(image)))
    converted = convert(model, output_names=["scores"], opset=opset)
    finish(converted, folder / "f.onnx", input_names=["image"], output_names=["scores"], batch=1)
    float32, _ = rewrite(onnx.load(folder / "f.onnx"), precision="int8")
    write_source(float32, folder / "source.onnx")
    random = np.random.default_rng(0)
    coarse = [random.integers(0, 256, (60, 16 // step, 16 // step, 3)) for step in (1, 2, 4, 8)]
    pictures = np.concatenate([one.repeat(16 // one.shape[1], 1).repeat(16 // one.shape[2], 2) for one in coarse])
    feeds = [{"image": picture[None].astype(np.uint8)} for picture in pictures]
    calibrator = Calibrator(folder / "source.onnx", feeds[::2], batch=1, operators=INT8_OPERATORS)
    ranges = calibrator.ranges(method)
    int8 = quantize_int8(folder / "source.onnx", ranges, method=method, means=calibrator.means())
    return float32, int8, feeds[1::2]


def answers(model, feeds):
    session = Session(model.SerializeToString(), device="cpu")
    return np.concatenate([session.run(feed)["scores"] for feed in feeds])


def blocks(x):
    """Six ConvNeXt blocks, their classes and a softmax."""
    x = LAYERS.Conv2D(CHANNELS, 2, strides=2)(x)
    for _ in range(BLOCKS):
        y = LAYERS.DepthwiseConv2D(3, padding="same")(x)
        y = LAYERS.Dense(4 * CHANNELS, activation="gelu")(LAYERS.LayerNormalization(epsilon=1e-6)(y))
        x = LAYERS.Add()([x, LAYERS.Dense(CHANNELS)(y)])
    x = LAYERS.LayerNormalization()(LAYERS.GlobalAveragePooling2D()(x))
    return LAYERS.Dense(4, activation="softmax")(x)


@pytest.fixture(scope="module", params=[17, 16])
def graphs(request, tmp_path_factory):
    return reduced(blocks, tmp_path_factory.mktemp("blocks"), opset=request.param)


def test_every_layer_of_a_block_computes_with_integers(graphs):
    assert int8_layers(graphs[1]).kept == ()
    assert len(int8_layers(graphs[1]).reduced) == 2 + 3 * BLOCKS


def test_what_computes_in_float32_reads_what_was_made_in_float32(graphs):
    producers = {name: node for node in graphs[1].graph.node for name in node.output}
    passed = {"Transpose", "Reshape", "Squeeze", "QuantizeLinear", "DequantizeLinear"}
    rounded = set()
    for node in graphs[1].graph.node:
        for name in node.input if node.op_type in ("Add", "Mul", "Erf", "LayerNormalization", "Softmax") else ():
            way = [producers[name]] if name in producers else []
            while way and way[-1].op_type in passed and way[-1].input[0] in producers:
                way.append(producers[way[-1].input[0]])
            if "QuantizeLinear" in {step.op_type for step in way}:
                rounded.add(way[-1].op_type)
    assert rounded == {"Conv"}


def test_a_block_in_int8_answers_nearly_as_in_float32(graphs):
    float32, int8, feeds = graphs
    expected, received = (answers(model, feeds) for model in (float32, int8))
    spread = np.log(expected).std(axis=0).mean()
    error = np.sqrt(np.square(np.log(expected) - np.log(received)).mean())
    assert error < 0.08 * spread, "it is .06, and .12 where sums and activations are rounded"


def mapped(x):
    return LAYERS.Flatten()(LAYERS.AveragePooling2D(4)(LAYERS.Conv2D(CHANNELS, 3, activation="relu")(x)))


def normalized(activation):
    return lambda x: LAYERS.Dense(4)(LAYERS.LayerNormalization()(LAYERS.Dense(16, activation=activation)(mapped(x))))


def summed(x):
    x = LAYERS.Dense(16, activation="relu")(mapped(x))
    return LAYERS.Dense(4)(LAYERS.Add()([x, LAYERS.Dense(16)(x)]))


def behind_a_sum(x):
    x = LAYERS.Dense(16)(mapped(x))
    x = LAYERS.ReLU()(LAYERS.Add()([x, LAYERS.Dense(16)(x)]))
    return LAYERS.Dense(4)(LAYERS.LayerNormalization()(x))


def positive(x):
    return LAYERS.Dense(4, activation="relu")(mapped(x))


def softened(x):
    return LAYERS.Softmax()(LAYERS.Dense(4, activation="relu6")(mapped(x)))


@pytest.mark.parametrize(
    "layers",
    [normalized("relu"), normalized("relu6"), summed, behind_a_sum, positive, softened],
    ids=["relu", "relu6", "summed", "behind a sum", "positive", "softened"],
)
def test_no_activation_is_lost_that_the_ends_of_a_range_stand_for(layers, tmp_path):
    float32, int8, feeds = reduced(layers, tmp_path, method="minmax")
    expected, received = (answers(model, feeds) for model in (float32, int8))
    error = np.sqrt(np.square(expected - received).mean()) / expected.std(axis=0).mean()
    assert error < 0.1, "it is up to .05, and .9 and more where one is lost"
    if expected.min() == 0:
        assert received.min() == 0
