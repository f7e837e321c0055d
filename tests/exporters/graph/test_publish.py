from collections import Counter

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgecnn_exporters.errors import ExportError, UnsupportedOpError
from edgecnn_exporters.graph.canonical import canonicalise
from edgecnn_exporters.graph.convert import convert
from edgecnn_exporters.graph.publish import IR_VERSION, OPSETS, finish
from edgecnn_exporters.graph.writer import Converted
from edgecnn_runtime.evidence import LEAST_ONNXRUNTIME, payload_sha256
from edgecnn_runtime.session import EXPORTED_OPSET, Session


def finish_in(folder, converted, *, batch=1):
    return finish(converted, folder / "g.onnx", input_names=["image"], output_names=["logits"], batch=batch)


def proto_of(model, folder):
    finish_in(folder, convert(model, output_names=["logits"]))
    return onnx.load(folder / "g.onnx")


def session_of(model, folder, *, batch=1, opset=17):
    finish_in(folder, convert(model, output_names=["logits"], batch=batch, opset=opset), batch=batch)
    return Session((folder / "g.onnx").read_bytes(), device="cpu")


def nodes_of(proto):
    return [(node.name, node.op_type) for node in proto.graph.node]


@pytest.fixture(scope="module")
def proto(model, tmp_path_factory):
    return proto_of(model, tmp_path_factory.mktemp("graph"))


def test_finish_names_nodes_by_layer_and_operator(proto):
    assert nodes_of(proto) == [
        ("normalization/Cast", "Cast"),
        ("normalization/Mul", "Mul"),
        ("conv/Reshape", "Reshape"),
        ("conv/Conv", "Conv"),
        ("relu/Relu", "Relu"),
        ("pool/MaxPool", "MaxPool"),
        ("pool/Transpose", "Transpose"),
        ("flatten/Reshape", "Reshape"),
        ("logits/Gemm", "Gemm"),
    ]


def test_finish_names_weights_by_layer_and_role(proto):
    names = [tensor.name for tensor in proto.graph.initializer]
    assert {"conv/kernel", "conv/bias", "logits/kernel", "logits/bias"} <= set(names)
    assert len(names) == len(set(names))


def test_finish_writes_nothing_but_the_graph(proto):
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 17)]
    assert (proto.ir_version, proto.producer_name) == (IR_VERSION, "edgecnn")
    assert not proto.graph.value_info
    assert not proto.metadata_props
    assert not any(m.doc_string for m in (proto, proto.graph, *proto.graph.node, *proto.graph.initializer))


def test_finish_tells_what_the_file_requires(model, tmp_path):
    requirements = finish_in(tmp_path, convert(model, output_names=["logits"])).requirements
    assert (requirements.opset, requirements.ir_version, requirements.onnxruntime) == (17, 8, LEAST_ONNXRUNTIME)
    assert requirements.operators == ("Cast", "Conv", "Gemm", "MaxPool", "Mul", "Relu", "Reshape", "Transpose")


def test_finish_writes_one_file_and_tells_its_hash(model, tmp_path):
    written = finish_in(tmp_path, convert(model, output_names=["logits"])).written
    (path,) = tmp_path.iterdir()
    assert (written.sha256, written.size_bytes) == (payload_sha256(path.read_bytes()), path.stat().st_size)


def test_finish_tells_layers_apart_whose_names_look_counted(make_model, tmp_path):
    inner = keras.Sequential(
        [keras.Input((12, 10, 4)), keras.layers.Conv2D(4, 1, name="conv"), keras.layers.ReLU(name="relu")], name="block"
    )
    model = make_model(
        keras.layers.Conv2D(4, 1, name="conv"),
        inner,
        inner,
        keras.layers.Conv2D(4, 1, name="conv_1", activation="relu"),
    )
    convolutions = [name for name, operator in nodes_of(proto_of(model, tmp_path)) if operator == "Conv"]
    assert convolutions == ["conv/Conv", "block/conv/Conv", "block/conv/Conv_1", "conv_1/Conv"]


def test_finish_names_nodes_of_a_sequential_model(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((12, 10, 1), dtype="uint8", name="image"),
            keras.layers.Rescaling(1 / 255, name="normalization"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(3, name="logits"),
        ]
    )
    names = [name for name, _ in nodes_of(proto_of(model, tmp_path))]
    assert names == ["normalization/Cast", "normalization/Mul", "flatten/Reshape", "logits/MatMul"]


def test_finish_folds_batch_norm_behind_a_padded_convolution_and_pools_globally(make_model, tmp_path):
    model = make_model(
        keras.layers.ZeroPadding2D(1, name="pad"),
        keras.layers.Conv2D(4, 3, strides=2, name="conv"),
        keras.layers.BatchNormalization(name="bn"),
        keras.layers.ReLU(name="relu"),
        keras.layers.Conv2D(4, 1, name="conv2"),
        keras.layers.BatchNormalization(name="bn2"),
        keras.layers.GlobalAveragePooling2D(name="gap"),
    )
    operators = Counter(operator for _, operator in nodes_of(proto_of(model, tmp_path)))
    assert (operators["Conv"], operators["Mul"], operators["Add"], operators["GlobalAveragePool"]) == (2, 1, 0, 1)


@pytest.mark.parametrize("opset", [13, 17, 18])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_finish_keeps_the_zeros_of_a_padding_before_a_max_pool(make_model, make_pixels, tmp_path, activation, opset):
    model = make_model(
        keras.layers.Conv2D(4, 3, activation=activation, bias_initializer=keras.initializers.Constant(-3.0)),
        keras.layers.ZeroPadding2D(1),
        keras.layers.MaxPooling2D(3, strides=2),
    )
    session = session_of(model, tmp_path, opset=opset)
    pixels = make_pixels(1)
    np.testing.assert_allclose(
        session.run({"image": pixels})["logits"], model(pixels, training=False), rtol=1e-5, atol=1e-6
    )
    operators = [node.op_type for node in onnx.load(tmp_path / "g.onnx").graph.node]
    assert ("Pad" in operators) == (activation is None)  # behind a Relu one node does for both


@pytest.mark.parametrize("images", [1, 3, 8])
def test_finish_with_a_dynamic_batch_answers_any_number_of_images(model, make_pixels, tmp_path, images):
    session = session_of(model, tmp_path, batch=None)
    assert [tensor.shape[0] for tensor in (*session.inputs, *session.outputs)] == ["batch", "batch"]
    pixels = make_pixels(images)
    answer = session.run({"image": pixels})["logits"]
    np.testing.assert_allclose(answer, model(pixels, training=False), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 4])
def test_finish_with_a_fixed_batch_has_no_shape_arithmetic(model, tmp_path, batch):
    graph = finish_in(tmp_path, convert(model, output_names=["logits"], batch=batch), batch=batch)
    session = Session((tmp_path / "g.onnx").read_bytes(), device="cpu")
    assert [tensor.shape for tensor in (*session.inputs, *session.outputs)] == [(batch, 12, 10, 1), (batch, 3)]
    assert not {"Shape", "Gather", "Slice", "Concat"} & set(graph.requirements.operators)


@pytest.mark.parametrize("opset", [13, 15, 18])
def test_finish_answers_alike_at_other_opsets(model, make_pixels, tmp_path, opset):
    session = session_of(model, tmp_path, opset=opset)
    assert onnx.load(tmp_path / "g.onnx").opset_import[0].version == opset
    pixels = make_pixels(1)
    answer = session.run({"image": pixels})["logits"]
    np.testing.assert_allclose(answer, model(pixels, training=False), rtol=1e-5, atol=1e-6)


class Special(keras.layers.Layer):
    def __init__(self, function, name):
        super().__init__(name=name)
        self.function = function

    def call(self, x):
        return self.function(x)

    def compute_output_shape(self, shape):
        return shape


def loop(x):
    return tf.while_loop(lambda y: tf.reduce_sum(y) < 100, lambda y: (y * 2 + 1,), [x])[0]


def branch(x):
    return tf.cond(tf.reduce_sum(x) > 1, lambda: x, lambda: x * 2)


@pytest.mark.parametrize(("function", "operator"), [(tf.math.lgamma, "Lgamma"), (loop, "Loop"), (branch, "If")])
def test_finish_refuses_what_onnx_lacks_and_control_flow(make_model, tmp_path, function, operator):
    model = make_model(Special(function, "special"))
    with pytest.raises(UnsupportedOpError, match=f"{operator} of layer 'special'.*Replace the layer"):
        proto_of(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def small_graph(shuffled=None, renamed=lambda name: name):
    """Two branches that share a weight; nodes and weights in any order, under any inner names."""
    nodes = [
        ("Cast", ["image"], ["a"], {"to": TensorProto.FLOAT}),
        ("Mul", ["a", "w"], ["b"], {}),
        ("Add", ["a", "w"], ["c"], {}),
        ("Sub", ["b", "c"], ["d"], {}),
        ("ReduceMean", ["d"], ["logits"], {"axes": [1, 2], "keepdims": 0}),
        ("Neg", ["d"], ["unused"], {}),
    ]
    weights = {"w": np.float32([2, 3]), "nobody": np.float32([1])}
    if shuffled is not None:
        shuffled.shuffle(nodes)
        weights = dict(shuffled.sample(list(weights.items()), len(weights)))
    new = {"image": "image", "logits": "logits"}
    protos = []
    for operator, inputs, outputs, attributes in nodes:
        inputs, outputs = ([new.setdefault(n, renamed(n)) for n in names] for names in (inputs, outputs))
        protos.append(helper.make_node(operator, inputs, outputs, name=f"layer//{outputs[0]}", **attributes))
    graph = helper.make_graph(
        protos,
        renamed("graph"),
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 4, 4, 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(values, new.get(name, renamed(name))) for name, values in weights.items()],
        doc_string=renamed("doc"),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def canonical_bytes(proto):
    canonicalise(proto, input_names=["image"], output_names=["logits"], batch=1)
    return proto.SerializeToString(deterministic=True)


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5))
def test_canonicalise_gives_the_same_bytes_whatever_the_order_and_the_names(random, suffix):
    shuffled = small_graph(random, lambda name: f"{name}__{suffix}")
    assert canonical_bytes(shuffled) == canonical_bytes(small_graph())


def test_canonicalise_drops_what_no_output_needs():
    proto = small_graph()
    canonical_bytes(proto)
    assert [node.op_type for node in proto.graph.node] == ["Cast", "Mul", "Add", "Sub", "ReduceMean"]
    assert len(proto.graph.initializer) == 1


def test_canonicalise_keeps_a_valid_model_that_answers_alike():
    before, after = small_graph(), small_graph()
    canonical_bytes(after)
    onnx.checker.check_model(after, full_check=True)
    pixels = np.arange(32, dtype=np.uint8).reshape(1, 4, 4, 2)
    answers = [Session(p.SerializeToString(), device="cpu").run({"image": pixels})["logits"] for p in (before, after)]
    np.testing.assert_array_equal(*answers)


def test_finish_says_what_onnx_runtime_said_when_it_refuses_the_graph(tmp_path):
    proto = small_graph()
    proto.graph.node[1].input[1] = "missing"
    with pytest.raises(ExportError, match="could not load the converted graph"):
        finish_in(tmp_path, Converted(proto))
    assert list(tmp_path.iterdir()) == []


def test_canonicalise_takes_no_empty_name_for_a_tensor():
    """An LSTM whose last outputs are left out does not make the inputs that a Resize leaves out."""
    weights = {
        "w": np.zeros((1, 8, 1), np.float32),
        "r": np.zeros((1, 8, 2), np.float32),
        "scales": np.array([2, 1, 1, 1], np.float32),
        "unread": np.zeros(3, np.float32),
    }
    nodes = [
        helper.make_node("LSTM", ["sequence", "w", "r"], ["y", "", ""], "lstm//0", hidden_size=2),
        helper.make_node("Resize", ["y", "", "scales"], ["resized"], "up//1"),
        helper.make_node("Resize", ["resized", "", "scales"], ["logits"], "up//2"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("sequence", TensorProto.FLOAT, [5, 1, 1])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [20, 1, 1, 2])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    canonicalise(model, input_names=["sequence"], output_names=["logits"], batch=None)
    assert [weight.name for weight in model.graph.initializer] == ["lstm/W", "lstm/R", "up/scales"]
    assert [node.op_type for node in model.graph.node] == ["LSTM", "Resize", "Resize"]
    assert list(model.graph.node[0].output)[1:] == ["", ""]


def test_the_runtime_knows_the_newest_opset_that_is_written():
    assert max(OPSETS) == EXPORTED_OPSET
