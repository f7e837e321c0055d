import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from edgecnn_exporters.errors import QuantizationError
from edgecnn_exporters.rewrites.amx_weights import tune_for_amx

SIZE = 6


@pytest.fixture(scope="module")
def quantized(make_graph, float_tensor):
    """One convolution in QDQ form, on uint8 pixels (1, channels, 6, 6)."""

    def make(channels=192, filters=8, kernel=1, *, group=1, zero_point=0, twice=False, bias=True):
        random = np.random.default_rng(channels + filters)
        shape = (filters, channels // group, kernel, kernel)
        weights = {
            "s": np.float32(0.02),
            "z": np.uint8(7),
            "w": random.integers(-127, 128, shape).astype(np.int8),
            "ws": random.uniform(0.001, 0.01, filters).astype(np.float32),
            "wz": np.full(filters, zero_point, np.int8),
            "b": random.integers(-1000, 1000, filters).astype(np.int32),
            "bs": np.full(filters, 0.0001, np.float32),
            "ys": np.float32(0.05),
        }
        nodes = [
            ("DequantizeLinear", ["image", "s", "z"], "x", {}),
            ("DequantizeLinear", ["w", "ws", "wz"], "kernel", {"axis": 0}),
            ("DequantizeLinear", ["b", "bs"], "offset", {"axis": 0}),
            ("Conv", ["x", "kernel", *(["offset"] if bias else [])], "c", {"group": group, "pads": [kernel // 2] * 4}),
            ("QuantizeLinear", ["c", "ys", "z"], "q", {}),
            ("DequantizeLinear", ["q", "ys", "z"], "y", {}),
            *([("DequantizeLinear", ["w", "ws", "wz"], "again", {"axis": 0})] if twice else []),
        ]
        outputs = {"y": float_tensor(1, filters, SIZE, SIZE)} | ({"again": float_tensor(*shape)} if twice else {})
        return make_graph(nodes, {"image": (TensorProto.UINT8, (1, channels, SIZE, SIZE))}, outputs, weights)

    return make


def values(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def copy(model):
    other = type(model)()
    other.CopyFrom(model)
    return other


def test_tune_for_amx_stores_weights_one_lower(quantized):
    model = quantized()
    before = values(model)
    assert tune_for_amx(model)
    after = values(model)
    assert np.array_equal(after["w"], before["w"] - 1)
    assert after["wz"].tolist() == [-1] * 8
    assert all(np.array_equal(after[name], before[name]) for name in before.keys() - {"w", "wz"})


@settings(deadline=None, max_examples=30)
@given(kernel=st.sampled_from([1, 3]), channels=st.integers(192, 260), filters=st.integers(96, 130), bias=st.booleans())
def test_tune_for_amx_answers_alike_bit_for_bit(quantized, run, kernel, channels, filters, bias):
    model = quantized(channels, filters, kernel, bias=bias)
    tuned = copy(model)
    assert tune_for_amx(tuned)
    feeds = {"image": np.random.default_rng(1).integers(0, 256, (1, channels, SIZE, SIZE), dtype=np.uint8)}
    assert np.array_equal(run(model, feeds)["y"], run(tuned, feeds)["y"])


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"channels": 191}, id="few channels under a 1x1 kernel"),
        pytest.param({"channels": 192, "filters": 95, "kernel": 3}, id="few filters"),
        pytest.param({"channels": 56, "filters": 96, "kernel": 3}, id="a small patch"),
        pytest.param({"channels": 192, "filters": 192, "kernel": 3, "group": 192}, id="depthwise"),
        pytest.param({"zero_point": 1}, id="weights with a zero point"),
        pytest.param({"twice": True}, id="weights that others read"),
    ],
)
def test_tune_for_amx_leaves_other_convolutions_alone(quantized, options):
    model = quantized(**options)
    before = model.SerializeToString()
    assert not tune_for_amx(model)
    assert model.SerializeToString() == before


def test_tune_for_amx_leaves_a_kernel_that_the_graph_computes_alone(make_graph, float_tensor):
    weights = {"s": np.float32(0.02), "z": np.uint8(0), "kz": np.int8(0), "k": np.ones((8, 192, 1, 1), np.float32)}
    nodes = [
        ("DequantizeLinear", ["image", "s", "z"], "x", {}),
        ("Abs", ["k"], "made", {}),
        ("QuantizeLinear", ["made", "s", "kz"], "q", {}),
        ("DequantizeLinear", ["q", "s", "kz"], "kernel", {}),
        ("Conv", ["x", "kernel"], "y", {}),
    ]
    image = {"image": (TensorProto.UINT8, (1, 192, SIZE, SIZE))}
    assert not tune_for_amx(make_graph(nodes, image, {"y": float_tensor(1, 8, SIZE, SIZE)}, weights))


def test_tune_for_amx_refuses_what_would_be_cut_off(quantized):
    model = quantized()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w")
    weight.CopyFrom(numpy_helper.from_array(np.full((8, 192, 1, 1), -128, np.int8), "w"))
    with pytest.raises(QuantizationError, match="-128"):
        tune_for_amx(model)


def test_tune_for_amx_twice_is_once(quantized):
    model = quantized()
    assert tune_for_amx(model)
    once = model.SerializeToString()
    assert not tune_for_amx(model)
    assert model.SerializeToString() == once
