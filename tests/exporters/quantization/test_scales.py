"""Int8 graphs whose scales are out of proportion, against float32 and against ONNX Runtime's own quantizer.

A graph runs twice: as it is written, in float32 behind every DequantizeLinear (no optimization), and as a device runs
it, with ONNX Runtime's integer kernels in place of the patterns that it recognises (all optimizations).
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgecnn_exporters.quantization.calibration import Calibrator
from edgecnn_exporters.quantization.quantize import INT8_OPERATORS, int8_layers, quantize_int8, write_source
from edgecnn_exporters.rewrites import rewrite

SIZE, CHANNELS, FEATURES = 8, 3, 8


def draw(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, CHANNELS), dtype=np.uint8)


def build(tail, weights, *, stem=True):
    """A float32 graph: pixels / 255, a convolution of 8 filters, then (operator, inputs, attributes) in a row.

    "<" is what the step before makes, "0" what the convolution makes, "1" what the first step makes, and so on.
    """
    random = np.random.default_rng(3)
    weights = {
        "unit": np.float32(1 / 255),
        "stem_w": random.normal(0, 0.3, (FEATURES, CHANNELS, 3, 3)),
        "stem_b": random.normal(0, 0.1, FEATURES),
    } | weights
    start = [
        ("Cast", ["image"], {"to": TensorProto.FLOAT}),
        ("Mul", ["<", "unit"], {}),
        ("Transpose", ["<"], {"perm": [0, 3, 1, 2]}),
        *([("Conv", ["<", "stem_w", "stem_b"], {"pads": [1, 1, 1, 1]})] if stem else []),
    ]
    chain, nodes, made = [*start, *tail], [], []
    for number, (operator, inputs, attributes) in enumerate(chain):
        names = {"<": made[-1] if made else "", **{str(step): name for step, name in enumerate(made[3:])}}
        made.append("y" if number == len(chain) - 1 else f"t{number}")
        read = [names.get(name, name) for name in inputs]
        nodes.append(helper.make_node(operator, read, [made[-1]], f"{operator}{number}", **attributes))
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, SIZE, SIZE, CHANNELS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [_tensor(name, values) for name, values in weights.items()],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return onnx.shape_inference.infer_shapes(model)


def _tensor(name, values):
    values = np.asarray(values)
    return numpy_helper.from_array(values.astype(np.float32) if values.dtype.kind == "f" else values, name)


def answers(model, images, *, fused=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    level = "ORT_ENABLE_ALL" if fused else "ORT_DISABLE_ALL"
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": image[np.newaxis]})[0] for image in images])


def difference(one, other):
    """The largest difference as a part of the largest value of the second."""
    return float(np.abs(one - other).max() / np.abs(other).max())


@pytest.fixture
def quantize(tmp_path):
    """Quantizes a graph as an export does, on MinMax ranges."""

    def make(model, images=None, **options):
        images = draw(24) if images is None else images
        source = Path(tempfile.mkdtemp(dir=tmp_path)) / "source.onnx"
        write_source(rewrite(model, precision="int8")[0], source)
        calibrator = Calibrator(source, [{"image": images}], batch=1, operators=INT8_OPERATORS)
        return quantize_int8(source, calibrator.ranges("minmax"), method="minmax", **options)

    return make


@pytest.fixture
def plain_int8(tmp_path):
    """Quantizes a graph as ONNX Runtime does by itself."""

    class Reader(CalibrationDataReader):
        def __init__(self, images):
            self.feeds = iter([{"image": image[np.newaxis]} for image in images])

        def get_next(self):
            return next(self.feeds, None)

    def make(model):
        onnx.save(model, tmp_path / "plain.onnx")
        quantize_static(
            tmp_path / "plain.onnx",
            tmp_path / "plain_int8.onnx",
            Reader(draw(24)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(tmp_path / "plain_int8.onnx")

    return make


def _normal(*shape, scale=1.0, seed=5):
    return np.random.default_rng(seed).normal(0, scale, shape)


def _tails(scale):
    """Small networks by the operator that they try, with weights of a size."""
    conv, bias = {"w1": _normal(8, 8, 3, 3, scale=scale)}, {"b1": _normal(8, scale=scale)}
    tokens = {"tokens": np.array([1, FEATURES, 64], np.int64)}
    first = ("Conv", ["<", "w1", "b1"], {})
    same = ("Conv", ["<", "w1", "b1"], {"pads": [1, 1, 1, 1]})

    def head(features):
        return [("Flatten", ["<"], {}), ("Gemm", ["<", "head"], {})], {"head": _normal(features, 3)}

    def made(steps, weights, features):
        tail, added = head(features)
        return [*steps, *tail], weights | added

    attention = {"query": _normal(64, 16, scale=scale), "key": _normal(64, 16, seed=6), "mix": _normal(8, 4, seed=7)}
    return {
        "softmax": made(
            [
                ("Reshape", ["<", "tokens"], {}),
                ("MatMul", ["<", "query"], {}),
                ("Softmax", ["<"], {"axis": -1}),
                ("MatMul", ["<", "value"], {}),
            ],
            tokens | {"query": attention["query"], "value": _normal(16, 4)},
            32,
        ),
        "softmax_of_an_inner_axis": made(
            [
                ("Reshape", ["<", "tokens"], {}),
                ("MatMul", ["<", "query"], {}),
                ("Softmax", ["<"], {"axis": 1}),
                ("MatMul", ["<", "value"], {}),
            ],
            tokens | {"query": attention["query"], "value": _normal(16, 4)},
            32,
        ),
        "attention": made(
            [
                ("Reshape", ["<", "tokens"], {}),
                ("MatMul", ["1", "query"], {}),
                ("MatMul", ["1", "key"], {}),
                ("Transpose", ["<"], {"perm": [0, 2, 1]}),
                ("MatMul", ["2", "4"], {}),
                ("Softmax", ["<"], {"axis": -1}),
                ("Unsqueeze", ["<", "axis"], {}),
                ("Reshape", ["<", "square"], {}),
                ("MatMul", ["<", "1"], {}),
            ],
            tokens | attention | {"axis": np.array([1]), "square": np.array([1, 8, 8])},
            512,
        ),
        "matmul_and_add": made(
            [
                ("Reshape", ["<", "tokens"], {}),
                ("MatMul", ["<", "query"], {}),
                ("Add", ["<", "added"], {}),
                ("Relu", ["<"], {}),
            ],
            tokens | {"query": attention["query"], "added": _normal(16, scale=scale)},
            128,
        ),
        "global_average": made([first, ("GlobalAveragePool", ["<"], {})], conv | bias, 8),
        "average": made([first, ("AveragePool", ["<"], {"kernel_shape": [2, 2]})], conv | bias, 200),
        "max": made([first, ("MaxPool", ["<"], {"kernel_shape": [2, 2]})], conv | bias, 200),
        "reduce": made([first, ("ReduceMean", ["<"], {"axes": [2, 3]})], conv | bias, 8),
        "residual": made([same, ("Add", ["<", "0"], {}), ("Relu", ["<"], {})], conv | bias, 512),
        "concat": made([same, ("Concat", ["<", "0"], {"axis": 1})], conv | bias, 1024),
        "gate": made([same, ("Sigmoid", ["<"], {}), ("Mul", ["0", "<"], {})], conv | bias, 512),
        "swish": made([first, ("Sigmoid", ["<"], {}), ("Mul", ["1", "<"], {})], conv | bias, 288),
        "leaky_relu": made([first, ("LeakyRelu", ["<"], {"alpha": 0.1})], conv | bias, 288),
        "clip": made(
            [first, ("Clip", ["<", "zero", "six"], {})],
            conv | bias | {"zero": np.float32(0), "six": np.float32(6 * scale)},
            288,
        ),
        "resize": made(
            [first, ("Resize", ["<", "", "twice"], {"mode": "linear"})],
            conv | bias | {"twice": np.array([1, 1, 2, 2], np.float32)},
            1152,
        ),
        "vectors": made(
            [first, ("Add", ["<", "added"], {}), ("Mul", ["<", "times"], {})],
            conv | bias | {"added": _normal(8, 1, 1, scale=scale), "times": _normal(8, 1, 1)},
            288,
        ),
        "transposed": made([("ConvTranspose", ["<", "w1", "b1"], {"strides": [2, 2]})], conv | bias, 2312),
        "grouped": made(
            [("Conv", ["<", "grouped", "b1"], {"group": 4})], bias | {"grouped": _normal(8, 2, 3, 3, scale=scale)}, 288
        ),
        "shared": made([first, ("Relu", ["<"], {}), first], conv | bias, 128),
        "product": made(
            [("Flatten", ["<"], {}), ("Gemm", ["<", "dense", "b1"], {"transB": 1}), ("Relu", ["<"], {})],
            bias | {"dense": _normal(8, 512, scale=scale)},
            8,
        ),
    }


@pytest.mark.parametrize("scale", [1e-4, 1.0])
@pytest.mark.parametrize("tail", _tails(1.0))
def test_quantize_int8_answers_alike_with_integer_kernels_and_without(quantize, tail, scale):
    model = build(*_tails(scale)[tail])
    int8, images = quantize(model), draw(24)[:8]
    unfused = answers(int8, images, fused=False)
    assert difference(answers(int8, images), unfused) < 0.03
    assert np.corrcoef(unfused.ravel(), answers(model, images).ravel())[0, 1] > 0.98
    assert int8_layers(int8).kept == ()


@pytest.mark.parametrize("parts", [1, 2, 64, 1024])
@pytest.mark.parametrize("spread", [0.0, 1e-3, 3.0])
def test_quantize_int8_keeps_a_softmax_of_any_length(quantize, parts, spread):
    weights = {
        "scores": _normal(FEATURES * 64, parts, scale=spread),
        "head": _normal(parts, 3),
        "head_b": np.array([0.1, -0.2, 0.3]),
    }
    model = build(
        [
            ("Flatten", ["<"], {}),
            ("Gemm", ["<", "scores"], {}),
            ("Softmax", ["<"], {"axis": -1}),
            ("Gemm", ["<", "head", "head_b"], {}),
        ],
        weights,
    )
    int8, images = quantize(model), draw(24)[:8]
    assert difference(answers(int8, images), answers(int8, images, fused=False)) < 0.02


def _without(weights, count, axis=0):
    """Weights whose first channels are gone."""
    np.moveaxis(weights, axis, 0)[:count] = 0
    return weights


def _pruned_stem(bias=0.45):
    """The network of a pruned first layer: 8 of 16 filters are zero, their biases are not."""
    return build(
        [
            ("Conv", ["<", "stem_w", "stem_b"], {}),
            ("Relu", ["<"], {}),
            ("GlobalAveragePool", ["<"], {}),
            ("Flatten", ["<"], {}),
            ("Gemm", ["<", "head"], {}),
        ],
        {
            "stem_w": _without(_normal(16, CHANNELS, 3, 3, scale=0.2), 8),
            "stem_b": np.full(16, bias),
            "head": np.abs(_normal(16, 3, scale=0.3)),
        },
        stem=False,
    )


@pytest.mark.parametrize("bias", [0.45, 0.003, 70.0])
def test_quantize_int8_keeps_the_bias_of_filters_without_weights(quantize, plain_int8, bias):
    model, images = _pruned_stem(bias), draw(24)[:8]
    expected = answers(model, images)
    assert difference(answers(quantize(model), images), expected) < 0.01
    assert difference(answers(plain_int8(model), images), expected) < 0.01


def test_quantize_int8_keeps_the_bias_beside_few_filters_without_weights(quantize):
    """The milder case: one filter of sixteen, and a bias that is near a whole number of pixels."""
    model, images = _pruned_stem(0.6), draw(24)[:8]
    kernel = next(tensor for tensor in model.graph.initializer if tensor.name == "stem_w")
    values = _normal(16, CHANNELS, 3, 3, scale=0.2)
    kernel.CopyFrom(_tensor("stem_w", _without(values, 1)))
    assert difference(answers(quantize(model), images), answers(model, images)) < 0.01


PRUNED = {
    "Conv": ([("Conv", ["<", "w", "b"], {})], _without(_normal(16, 8, 3, 3, scale=0.1), 8), 576),
    "ConvTranspose": ([("ConvTranspose", ["<", "w", "b"], {})], _without(_normal(8, 16, 2, 2, scale=0.1), 8, 1), 1296),
    "Gemm": ([("Flatten", ["<"], {}), ("Gemm", ["<", "w", "b"], {})], _without(_normal(512, 16), 8, 1), 16),
    "Gemm_transposed": (
        [("Flatten", ["<"], {}), ("Gemm", ["<", "w", "b"], {"transB": 1})],
        _without(_normal(16, 512), 8),
        16,
    ),
    "MatMul_Add": (
        [("Reshape", ["<", "tokens"], {}), ("MatMul", ["<", "w"], {}), ("Add", ["<", "b"], {})],
        _without(_normal(64, 16), 8, 1),
        128,
    ),
}


@pytest.mark.parametrize("layer", PRUNED)
@pytest.mark.parametrize("is_last", [False, True])
def test_quantize_int8_keeps_the_bias_of_channels_without_weights_in_any_layer(quantize, layer, is_last):
    steps, kernel, features = PRUNED[layer]
    tokens = np.array([1, FEATURES, 64], np.int64)
    weights = {"w": kernel, "b": np.full(16, 0.45), "tokens": tokens, "large_b": np.full(8, 200.0)}
    # behind activations of a large scale, as pixels are
    weights |= {"large": _normal(8, 8, 1, 1, scale=200.0), "head": _normal(features, 3)}
    head = [] if is_last else [("Relu", ["<"], {}), ("Flatten", ["<"], {}), ("Gemm", ["<", "head"], {})]
    model, images = build([("Conv", ["<", "large", "large_b"], {}), *steps, *head], weights), draw(24)[:8]
    int8 = quantize(model)
    assert difference(answers(int8, images), answers(model, images)) < 0.03
    if is_last:
        gone = answers(model, images)
        first = [slice(None)] * gone.ndim
        first[-1 if gone.ndim < 4 else 1] = slice(0, 8)
        np.testing.assert_allclose(gone[tuple(first)], 0.45, rtol=1e-6)
        step = 0.0 if layer.startswith("Gemm") else np.ptp(gone) / 255
        np.testing.assert_allclose(answers(int8, images)[tuple(first)], 0.45, atol=step + 1e-6)


def test_quantize_int8_leaves_room_for_the_sums_beside_a_bias(quantize):
    """A bias that takes all of 32 bits wraps round to its negative once a bright pixel is added."""
    faint = 0.45 * 127 / 2**31 * 255  # of an input in 0 .. 1: the step of the pixels is the smallest for this bias
    weights = {"stem_w": np.full((16, CHANNELS, 3, 3), faint), "stem_b": np.full(16, 0.45), "head": _normal(576, 3)}
    model = build(
        [("Conv", ["<", "stem_w", "stem_b"], {}), ("Flatten", ["<"], {}), ("Gemm", ["<", "head"], {})],
        weights,
        stem=False,
    )
    int8, images = quantize(model), np.full((2, SIZE, SIZE, CHANNELS), 255, np.uint8)
    assert difference(answers(int8, images), answers(model, images)) < 0.01
    assert difference(answers(int8, images, fused=False), answers(model, images)) < 0.01


@pytest.mark.parametrize("bias", [(16,), (1, 16), (1,), ()], ids=str)
@pytest.mark.parametrize("factors", [{}, {"beta": 3.0}, {"alpha": 0.5, "beta": -2.0}], ids=str)
def test_quantize_int8_takes_a_product_with_any_bias_and_factors(quantize, bias, factors):
    weights = {"w": _normal(512, 16, scale=0.01), "b": _normal(*bias), "head": _normal(16, 3)}
    model = build(
        [("Flatten", ["<"], {}), ("Gemm", ["<", "w", "b"], factors), ("Gemm", ["<", "head"], {})],
        weights,
    )
    int8, images = quantize(model), draw(24)[:8]
    assert difference(answers(int8, images), answers(model, images)) < 0.03
    assert int8_layers(int8).kept == ()


@pytest.mark.parametrize("size", [1e-9, 1e-4, 1.0])
def test_quantize_int8_keeps_the_bias_behind_a_layer_that_is_dead(quantize, size):
    weights = {
        "dead_w": _normal(8, 8, 3, 3, scale=0.05),
        "dead_b": np.full(8, -50.0),
        "w": _normal(8, 8, 3, 3, scale=3.0),
        "b": _normal(8, scale=size),
        "head": _normal(128, 3),
    }
    model = build(
        [
            ("Conv", ["<", "dead_w", "dead_b"], {}),
            ("Relu", ["<"], {}),
            ("Conv", ["<", "w", "b"], {}),
            ("Flatten", ["<"], {}),
            ("Gemm", ["<", "head"], {}),
        ],
        weights,
    )
    images = draw(24)[:8]
    assert difference(answers(quantize(model), images), answers(model, images)) < 0.02


def test_quantize_int8_leaves_scales_alone_that_are_in_proportion(quantize, monkeypatch):
    model = build(*_tails(0.05)["residual"])
    mended = quantize(model).SerializeToString()
    monkeypatch.setattr("edgecnn_exporters.quantization.quantize.mend_scales", lambda *_, **__: None)
    assert quantize(model).SerializeToString() == mended


@pytest.mark.parametrize(("reduce_range", "largest"), [(False, 127), (True, 64)])
def test_quantize_int8_keeps_mended_weights_in_their_form(quantize, reduce_range, largest):
    """Zero points other than 0, or weights of more bits, would leave ONNX Runtime's fast kernels."""
    int8 = quantize(_pruned_stem(), reduce_range=reduce_range)
    weights = [numpy_helper.to_array(t) for t in int8.graph.initializer if t.data_type == TensorProto.INT8]
    kernels, zero_points = [w for w in weights if w.ndim > 1], [w for w in weights if w.ndim < 2]
    assert len(kernels) == len(zero_points) == 2
    assert not any(zero_point.any() for zero_point in zero_points)
    assert all(np.abs(kernel.astype(int)).max() in (largest, largest - 1) for kernel in kernels)


def optimized(model, folder):
    """The operators of the graph as ONNX Runtime runs it."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]


def test_what_is_pooled_behind_a_move_keeps_its_scale_and_stays_in_bytes(quantize, tmp_path):
    """As behind a folded first convolution; the bias of the layer that reads it is counted in that scale too."""
    random = np.random.default_rng(5)
    weights = {
        "shape": np.array([0, FEATURES, SIZE, SIZE]),
        "w": random.normal(0, 0.3, (4, FEATURES, 3, 3)),
        "b": random.normal(0, 3, 4),
    }
    tail = [
        ("Reshape", ["<", "shape"], {}),
        ("MaxPool", ["<"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Conv", ["<", "w", "b"], {}),
    ]
    float32 = build(tail, weights)
    int8 = quantize(float32)
    pool = next(node for node in int8.graph.node if node.op_type == "MaxPool")
    after = next(node for node in int8.graph.node if pool.output[0] in node.input)
    assert after.op_type == "QuantizeLinear"
    assert sum(node.op_type == "QuantizeLinear" and node.input[1] == after.input[1] for node in int8.graph.node) == 2
    images = draw(8, seed=9)
    expected = answers(float32, images)
    assert difference(answers(int8, images), answers(int8, images, fused=False)) < 0.01
    assert difference(answers(int8, images), expected) < 0.03
    run = optimized(int8, tmp_path)
    pooled = next(number for number, operator in enumerate(run) if operator.endswith("MaxPool"))
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(run[:pooled])
