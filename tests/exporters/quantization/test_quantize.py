import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecnn_exporters.errors import QuantizationError
from edgecnn_exporters.quantization.calibration import Calibrator
from edgecnn_exporters.quantization.quantize import (
    INT8_OPERATORS,
    float16_layers,
    int8_layers,
    quantize_int8,
    to_float16,
    write_source,
)
from edgecnn_runtime.session import Session

LAYERS = ("stem/Conv", "wide/Conv", "narrow/Conv", "logits/Gemm")


@pytest.fixture(scope="module")
def float32(tiny, tmp_path_factory):
    """The payload of a tiny float32 file."""
    return tiny.write(tmp_path_factory.mktemp("float32")).payload()


@pytest.fixture(scope="module")
def quantize(tiny, float32, tmp_path_factory):
    """Quantizes the tiny graph with MinMax."""
    source = tmp_path_factory.mktemp("int8") / "source.onnx"
    write_source(onnx.load_from_string(float32), source)
    calibrator = Calibrator(source, tiny.feeds(tiny.draw(40)), batch=1, operators=INT8_OPERATORS)

    def make(**options):
        return quantize_int8(source, calibrator.ranges("minmax"), method="minmax", **options)

    return make


def by_output(model):
    return {name: node for node in model.graph.node for name in node.output}


def values(model, name):
    return next(numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name == name)


def test_quantize_int8_takes_in_every_layer(quantize):
    assert len(int8_layers(quantize()).reduced) == 4
    assert int8_layers(quantize()).kept == ()


def test_quantize_int8_takes_u8_activations_and_s8_weights_per_channel(quantize):
    model = quantize()
    producers = by_output(model)
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            activation, weight = producers[node.input[0]], producers[node.input[1]]
            assert values(model, activation.input[2]).dtype == np.uint8
            assert values(model, weight.input[0]).dtype == np.int8
            assert values(model, weight.input[1]).size == {"Conv": 4, "Gemm": 3}[node.op_type]


def test_quantize_int8_leaves_the_input_and_the_output_in_float32(quantize):
    nodes = list(quantize().graph.node)
    producers = by_output(quantize())
    assert [node.op_type for node in nodes if "image" in node.input] == ["Cast"]
    assert producers["logits"].op_type == "Gemm"
    quantized = {producers[node.input[0]].op_type for node in nodes if node.op_type == "QuantizeLinear"}
    assert quantized.isdisjoint({"Cast", "Mul"})


@pytest.mark.parametrize("outputs", [("scores",), ("logits", "scores")])
def test_quantize_int8_rounds_no_logits_before_a_softmax_of_the_models_own(tiny, float32, tmp_path, outputs):
    model = onnx.load_from_string(float32)
    model.graph.node.append(helper.make_node("Softmax", ["logits"], ["scores"], name="scores/Softmax"))
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in outputs)
    write_source(model, tmp_path / "source.onnx")
    calibrator = Calibrator(tmp_path / "source.onnx", tiny.feeds(tiny.draw(40)), batch=1, operators=INT8_OPERATORS)
    reduced = quantize_int8(tmp_path / "source.onnx", calibrator.ranges("minmax"), method="minmax")
    sessions = [Session(one.SerializeToString(), device="cpu") for one in (model, reduced)]
    (image,) = tiny.draw(1, seed=5)
    expected, received = (session.run({"image": image[:1]}) for session in sessions)
    assert all(np.abs(expected[name] - received[name]).max() < 0.05 * np.abs(expected[name]).max() for name in outputs)
    if len(outputs) == 1:
        (softmax,) = (node for node in reduced.graph.node if node.op_type == "Softmax")
        assert by_output(reduced)[softmax.input[0]].op_type == "Gemm"


def test_quantize_int8_quantizes_the_input_once(quantize):
    model = quantize()
    before = {"image"}
    entries = 0
    for node in model.graph.node:
        if before.intersection(node.input) and node.op_type not in ("Conv", "Gemm"):
            entries += node.op_type == "QuantizeLinear"
            before |= set() if node.op_type == "QuantizeLinear" else set(node.output)
    assert entries == 1


def test_quantize_int8_answers_like_the_float32_graph(tiny, float32, quantize):
    sessions = [Session(payload, device="cpu") for payload in (float32, quantize().SerializeToString())]
    images = np.concatenate(tiny.draw(20, seed=5))
    expected, received = (
        np.concatenate([session.run({"image": image[None]})["logits"] for image in images]) for session in sessions
    )
    assert np.abs(expected - received).max() < 0.05 * np.abs(expected).max()
    assert not np.array_equal(expected, received)


def test_quantize_int8_keeps_nodes_in_float32(quantize):
    model = quantize(float_nodes={"wide/Conv", "narrow/Conv"})
    layers = int8_layers(model)
    assert (len(layers.reduced), len(layers.kept)) == (2, 2)


@pytest.mark.parametrize(("reduce_range", "largest"), [(False, 127), (True, 64)])
def test_quantize_int8_takes_7_bits_for_reduced_weights(quantize, reduce_range, largest):
    model = quantize(reduce_range=reduce_range)
    weights = [numpy_helper.to_array(t) for t in model.graph.initializer if t.data_type == TensorProto.INT8]
    assert max(int(np.abs(weight.astype(int)).max()) for weight in weights) in (largest, largest - 1)


def test_quantize_int8_gives_the_same_bytes_again(quantize):
    assert quantize().SerializeToString(deterministic=True) == quantize().SerializeToString(deterministic=True)


def test_quantize_int8_stores_weights_as_bytes(quantize):
    assert all(tensor.HasField("raw_data") for tensor in quantize().graph.initializer)


def test_quantize_int8_leaves_nothing_beside_its_source(quantize, tmp_path_factory):
    quantize()
    folder = next(path for path in tmp_path_factory.getbasetemp().iterdir() if path.name.startswith("int8"))
    assert {path.name for path in folder.iterdir()} == {"source.onnx", "minmax.json"}


def test_quantize_int8_says_which_part_failed(tmp_path):
    (tmp_path / "source.onnx").write_bytes(b"")
    with pytest.raises(QuantizationError, match=r"quantizer failed: .*fp16"):
        quantize_int8(tmp_path / "source.onnx", tmp_path / "none.json", method="minmax")


def test_int8_layers_refuses_a_graph_in_which_nothing_is(quantize):
    with pytest.raises(QuantizationError, match="expected int8 layers in the graph, received none: all of its 4"):
        int8_layers(quantize(float_nodes=LAYERS))


def test_to_float16_keeps_the_ends_and_the_normalisation_in_float32(float32):
    model = to_float16(onnx.load_from_string(float32))
    session = Session(model.SerializeToString(), device="cpu")
    assert (str(session.inputs[0].dtype), str(session.outputs[0].dtype)) == ("uint8", "float32")
    assert len(float16_layers(model).reduced) == 4
    assert values(model, "normalization/B").dtype == np.float32


def test_to_float16_answers_like_the_float32_graph(tiny, float32):
    payload = to_float16(onnx.load_from_string(float32)).SerializeToString()
    sessions = [Session(graph, device="cpu") for graph in (float32, payload)]
    for image in np.concatenate(tiny.draw(5, seed=5)):
        expected, received = (session.run({"image": image[None]})["logits"] for session in sessions)
        np.testing.assert_allclose(received, expected, atol=2e-2)


def test_float16_layers_refuses_a_graph_in_which_nothing_is(float32):
    with pytest.raises(QuantizationError, match="expected float16 layers"):
        float16_layers(onnx.load_from_string(float32))
