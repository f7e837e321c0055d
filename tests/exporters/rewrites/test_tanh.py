import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn_exporters.calibration import Calibrator
from edgecnn_exporters.quantize import INT8_OPERATORS, quantize_int8, write_source
from edgecnn_exporters.rewrites.tanh import tanh_as_sigmoid

MEAN = {"kernel_shape": [2, 2], "strides": [2, 2]}


@pytest.fixture(scope="module")
def squashed(make_graph, float_tensor):
    """Two convolutions with Tanh between them, means beside it, and Tanh behind them."""

    def make(*, scale=1.0, group=1, mean_before=False, mean_behind=False, pads=0, last="Tanh"):
        random = np.random.default_rng(0)
        side = 8 // 2 ** (mean_before + mean_behind) + 2 * pads - 1
        weights = {
            "w": (scale * random.normal(size=(4, 4 // group, 1, 1))).astype(np.float32),
            "b": random.normal(size=4).astype(np.float32),
            "w2": random.normal(size=(2, 4, 2, 2)).astype(np.float32),
        }
        nodes, tensor = [("Conv", ["x", "w", "b"], "a", {"group": group})], "a"
        for name, operator, options, present in (
            ("m", "AveragePool", MEAN, mean_before),
            ("t", "Tanh", {}, True),
            ("n", "AveragePool", MEAN, mean_behind),
        ):
            if present:
                nodes.append((operator, [tensor], name, options))
                tensor = name
        nodes += [("Conv", [tensor, "w2"], "c", {"pads": [pads] * 4}), (last, ["c"], "y", {})]
        return make_graph(nodes, {"x": float_tensor(1, 4, 8, 8)}, {"y": float_tensor(1, 2, side, side)}, weights)

    return make


def draw(seed=1):
    return {"x": np.random.default_rng(seed).normal(size=(1, 4, 8, 8)).astype(np.float32)}


@settings(deadline=None, max_examples=40)
@given(
    scale=st.sampled_from([1e-3, 0.1, 1.0, 10.0, 1000.0]),
    group=st.sampled_from([1, 2, 4]),
    mean_before=st.booleans(),
    mean_behind=st.booleans(),
)
def test_tanh_as_sigmoid_answers_alike(
    squashed, run, operators, largest_difference, scale, group, mean_before, mean_behind
):
    model = squashed(scale=scale, group=group, mean_before=mean_before, mean_behind=mean_behind, last="Neg")
    changed_model, changed = tanh_as_sigmoid(model)
    assert changed
    expected = [operator if operator != "Tanh" else "Sigmoid" for operator in operators(model)]
    assert operators(changed_model) == expected
    assert largest_difference(run(model, draw()), run(changed_model, draw())) <= 2e-6


def test_tanh_as_sigmoid_leaves_the_last_one_alone(squashed, operators):
    assert operators(tanh_as_sigmoid(squashed())[0]) == ["Conv", "Sigmoid", "Conv", "Tanh"]


def test_tanh_as_sigmoid_leaves_one_before_padding_alone(squashed):
    model = squashed(pads=1)
    left, changed = tanh_as_sigmoid(model)
    assert left is model
    assert not changed


def test_tanh_as_sigmoid_leaves_one_that_no_layer_comes_before_alone(make_graph, float_tensor):
    weights = {"w": np.ones((1, 2, 1, 1), np.float32)}
    nodes = [("Tanh", ["x"], "a", {}), ("Conv", ["a", "w"], "y", {})]
    model = make_graph(nodes, {"x": float_tensor(1, 2, 3, 3)}, {"y": float_tensor(1, 1, 3, 3)}, weights)
    assert not tanh_as_sigmoid(model)[1]


@pytest.mark.parametrize("read_twice", ["a", "t"])
def test_tanh_as_sigmoid_leaves_one_with_another_reader_alone(make_graph, float_tensor, read_twice):
    weights = {"w": np.ones((2, 2, 1, 1), np.float32)}
    nodes = [
        ("Conv", ["x", "w"], "a", {}),
        ("Tanh", ["a"], "t", {}),
        ("Conv", ["t", "w"], "y", {}),
        ("Neg", [read_twice], "z", {}),
    ]
    shape = float_tensor(1, 2, 3, 3)
    assert not tanh_as_sigmoid(make_graph(nodes, {"x": shape}, {"y": shape, "z": shape}, weights))[1]


def test_tanh_as_sigmoid_stays_in_integers(squashed, tmp_path):
    model, _ = tanh_as_sigmoid(squashed())
    source = tmp_path / "source.onnx"
    write_source(model, source)
    images = [draw(seed)["x"] for seed in range(4)]
    calibrator = Calibrator(source, images, input_name="x", batch=1, operators=INT8_OPERATORS)
    quantized = quantize_int8(source, calibrator.ranges("minmax"), method="minmax")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(quantized.SerializeToString(), options, providers=["CPUExecutionProvider"])
    executed = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    assert executed.count("QLinearSigmoid") == 1
    assert executed.count("QLinearConv") == 2
