"""What the rounding of weights adds in the mean is taken back, whatever the strides, pads, groups and dilations."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgecnn_exporters.quantization.biases import correct_biases
from edgecnn_exporters.quantization.calibration import Calibrator
from edgecnn_exporters.quantization.quantize import INT8_OPERATORS, quantize_int8, write_source
from edgecnn_runtime.session import Session

CONVOLUTIONS = {
    "plain": {"pads": [0, 0, 0, 0]},
    "padded": {"pads": [1, 1, 1, 1]},
    "uneven": {"pads": [0, 2, 1, 1], "strides": [2, 3]},
    "dilated": {"pads": [2, 2, 2, 2], "dilations": [2, 2]},
    "groups": {"pads": [1, 1, 1, 1], "group": 2},
    "depthwise": {"pads": [1, 1, 1, 1], "group": 4},
}


def graph_of(nodes: list, weights: dict[str, np.ndarray], shape: list, out: str = "y") -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def in_integers(node: onnx.NodeProto, weights: dict[str, np.ndarray], axis: int) -> tuple[onnx.ModelProto, np.ndarray]:
    """Returns the node behind DequantizeLinear nodes, its weights and bias in integers; and the weights' error."""
    kernel, bias = weights["w"], weights["b"]
    others = tuple(number for number in range(kernel.ndim) if number != axis)
    scale = (np.abs(kernel).max(axis=others) / 7).astype(np.float32)  # coarse, so that rounding matters
    along = scale.reshape([-1 if number == axis else 1 for number in range(kernel.ndim)])
    rounded = np.rint(kernel / along).astype(np.int8)
    step = (scale * np.float32(0.01)).astype(np.float32)
    stored = {
        "w8": rounded,
        "w_scale": scale,
        "w_zero": np.zeros(len(scale), np.int8),
        "b32": np.rint(bias / step).astype(np.int32),
        "b_scale": step,
        "b_zero": np.zeros(len(step), np.int32),
    }
    changed = onnx.NodeProto()
    changed.CopyFrom(node)
    changed.input[1:] = ["w_float", "b_float"]
    nodes = [
        helper.make_node("DequantizeLinear", ["w8", "w_scale", "w_zero"], ["w_float"], axis=axis),
        helper.make_node("DequantizeLinear", ["b32", "b_scale", "b_zero"], ["b_float"], axis=0),
        changed,
    ]
    return graph_of(nodes, stored, [1, 4, 9, 11] if node.op_type == "Conv" else [1, 6]), rounded * along - kernel


@pytest.mark.parametrize("form", CONVOLUTIONS)
def test_an_even_image_has_the_mean_of_the_exact_weights(form):
    options, random = CONVOLUTIONS[form], np.random.default_rng(0)
    weights = {
        "w": random.normal(size=(8, 4 // options.get("group", 1), 3, 3)).astype(np.float32),
        "b": random.normal(size=8).astype(np.float32),
    }
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], name="layer", **options)
    float32 = graph_of([node], weights, [1, 4, 9, 11])
    rounded, _ = in_integers(node, weights, axis=0)
    mean = np.array([0.3, 2.0, 5.0, 1.0])
    image = np.broadcast_to(mean[:, None, None], (1, 4, 9, 11)).astype(np.float32)

    def mean_of(model: onnx.ModelProto) -> np.ndarray:
        return ReferenceEvaluator(model).run(None, {"x": image})[0].mean(axis=(0, 2, 3))

    exact, before = mean_of(float32), mean_of(rounded)
    correct_biases(rounded, float32, {"x": mean})
    assert np.abs(before - exact).max() > 0.1
    np.testing.assert_allclose(mean_of(rounded), exact, atol=0.01)  # half a step of the bias


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm_has_the_mean_of_the_exact_weights(transposed):
    random = np.random.default_rng(1)
    shape = (5, 6) if transposed else (6, 5)
    weights = {"w": random.normal(size=shape).astype(np.float32), "b": random.normal(size=5).astype(np.float32)}
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="layer", transB=transposed)
    float32 = graph_of([node], weights, [1, 6])
    rounded, _ = in_integers(node, weights, axis=0 if transposed else 1)
    mean = random.uniform(0, 3, 6).astype(np.float32)
    correct_biases(rounded, float32, {"x": mean})
    exact, received = (ReferenceEvaluator(model).run(None, {"x": mean[None]})[0] for model in (float32, rounded))
    np.testing.assert_allclose(received, exact, atol=0.01)


def test_layers_without_a_mean_or_in_float32_stay_as_they_are():
    random = np.random.default_rng(2)
    weights = {"w": random.normal(size=(8, 4, 3, 3)).astype(np.float32), "b": np.ones(8, np.float32)}
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], name="layer")
    float32 = graph_of([node], weights, [1, 4, 9, 11])
    rounded, _ = in_integers(node, weights, axis=0)
    before = rounded.SerializeToString()
    correct_biases(rounded, float32, {"another": np.ones(4)})
    correct_biases(rounded, float32, {"x": np.array([np.nan, 1, 1, 1])})
    assert rounded.SerializeToString() == before
    again = onnx.ModelProto.FromString(float32.SerializeToString())
    correct_biases(again, float32, {"x": np.ones(4)})
    assert again == float32


def test_means_are_those_of_what_the_layers_read(tmp_path):
    random = np.random.default_rng(3)
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "w2", "b"], ["c"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w3", "b"], ["logits"], name="dense"),
    ]
    weights = {
        "w": random.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "w2": random.normal(size=(8, 8, 3, 3)).astype(np.float32),
        "w3": random.normal(size=(8, 8)).astype(np.float32),
        "b": random.normal(size=8).astype(np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 6, 6])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 8])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    source = tmp_path / "source.onnx"
    write_source(model, source)
    images = [{"image": random.normal(size=(1, 3, 6, 6)).astype(np.float32)} for _ in range(80)]
    calibrator = Calibrator(source, images, batch=1, operators=INT8_OPERATORS)
    found = calibrator.means()

    watched = onnx.ModelProto.FromString(model.SerializeToString())
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("r", "f"))
    answers = [ReferenceEvaluator(watched).run(None, feed) for feed in images[:64]]
    assert set(found) == {"r", "f"}
    np.testing.assert_allclose(found["r"], np.mean([r.mean(axis=(0, 2, 3)) for r, _ in answers], axis=0), rtol=1e-4)
    np.testing.assert_allclose(found["f"], np.mean([f[0] for _, f in answers], axis=0), rtol=1e-3, atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["source.onnx"]

    def error(means) -> np.ndarray:
        file = quantize_int8(source, calibrator.ranges("minmax"), method="minmax", means=means)
        exact, received = (Session(one.SerializeToString(), device="cpu") for one in (model, file))
        differences = [received.run(feed)["logits"] - exact.run(feed)["logits"] for feed in images]
        return np.abs(np.mean(differences, axis=0)).mean()

    assert error(found) < error(None)
