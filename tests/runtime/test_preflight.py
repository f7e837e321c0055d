"""What a graph that nobody has proven may hold: faults 4, 5, 6 and 41, of plain files."""

import tracemalloc

import numpy as np
import onnx
import plain_files
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from edgecnn_runtime.container import parse_model_file
from edgecnn_runtime.errors import ModelFileError
from edgecnn_runtime.preflight import MOST_NODES, OPERATORS, check_graph


def check(data):
    return check_graph(parse_model_file(data, "m.onnx"))


def facts_by_onnx(data):
    """The same facts by the library of ONNX."""
    model = onnx.load_from_string(data)
    operators = {}
    for node in model.graph.node:
        name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        operators[name] = operators.get(name, 0) + 1
    parameters = sum(numpy_helper.to_array(tensor).size for tensor in model.graph.initializer)
    return operators, {entry.domain: entry.version for entry in model.opset_import}, parameters


@pytest.mark.parametrize(
    "data",
    [
        plain_files.make_plain(),
        plain_files.make_plain(shape=(1, 12, 16, 3), layout="nhwc", dtype=TensorProto.UINT8),
        plain_files.make_quantized("QDQ"),
        plain_files.make_quantized("QLinear"),
    ],
)
def test_check_graph_counts_what_onnx_counts(data):
    facts = check(data)
    assert (dict(facts.operators), dict(facts.opsets), facts.parameters) == facts_by_onnx(data)
    assert facts.nodes == sum(facts.operators.values())
    assert sum(facts.parameters_by_type.values()) == facts.parameters


def test_the_operators_are_those_that_onnx_and_onnxruntime_know():
    assert {schema.name for schema in onnx.defs.get_all_schemas_with_history() if not schema.domain} >= OPERATORS[""]
    contributed = {schema.name for schema in get_all_operator_schema() if schema.domain == "com.microsoft"}
    assert contributed >= OPERATORS["com.microsoft"]
    assert not {"If", "Loop", "Scan", "SequenceMap", "ImageDecoder", "RandomNormal"} & OPERATORS[""]


def _external(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def _external_in_a_constant(model):
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["k"], value=tensor))


def _function(model):
    node = helper.make_node("Own", ["x"], ["y"], domain="mine")
    model.functions.append(helper.make_function("mine", "Own", ["x"], ["y"], [node], [helper.make_opsetid("mine", 1)]))


def _sparse(model):
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(np.zeros(1, np.int64)), [2**40])
    )


def _sparse_constant(model):
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    tensor = helper.make_sparse_tensor(values, numpy_helper.from_array(np.zeros(1, np.int64)), [2**40])
    model.graph.node.insert(0, helper.make_node("Constant", [], ["k"], sparse_value=tensor))


def _loop(model):
    body = helper.make_graph([], "body", [], [])
    model.graph.node.insert(0, helper.make_node("Loop", ["times", ""], ["k"], body=body))


def _branch_of_another_operator(model):
    model.graph.node[0].attribute.append(helper.make_attribute("body", helper.make_graph([], "body", [], [])))


def _blown_up(operator, *, by_constant):
    """165 bytes that take 2 GB: a shape as a weight, or out of a Constant."""

    def change(model):
        shape = numpy_helper.from_array(np.array([2**15, 2**14], np.int64), "shape")
        if by_constant:
            model.graph.node.insert(0, helper.make_node("Constant", [], ["shape"], value=shape))
        else:
            model.graph.initializer.append(shape)
        inputs = ["shape"] if operator == "ConstantOfShape" else ["weights", "shape"]
        model.graph.node.insert(1, helper.make_node(operator, inputs, ["big"]))

    return change


def _blown_up_by_integers(model):
    model.graph.node.insert(0, helper.make_node("Constant", [], ["shape"], value_ints=[2**15, 2**14]))
    model.graph.node.insert(1, helper.make_node("ConstantOfShape", ["shape"], ["big"]))


def _blown_up_by_typed_data(model):
    model.graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [2], [2**15, 2**14]))
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["big"]))


REFUSED = {
    "external": (_external, "one whose weights lie in another"),
    "external in a Constant": (_external_in_a_constant, "one whose weights lie in another"),
    "function": (_function, "functions of the file's own"),
    "sparse": (_sparse, "received sparse ones"),
    "sparse Constant": (_sparse_constant, "a sparse one within Constant"),
    "Loop": (_loop, "received Loop"),
    "branch": (_branch_of_another_operator, "a graph within Conv"),
    "unknown domain": (lambda model: setattr(model.graph.node[0], "domain", "nobody"), "received nobody.Conv"),
    "unknown operator": (lambda model: setattr(model.graph.node[0], "op_type", "PyOp"), "received PyOp"),
    "no operator": (lambda model: model.graph.node[0].ClearField("op_type"), "made of, received"),
    "weights of 2^62": (lambda model: model.graph.initializer[0].dims.__setitem__(0, 2**62), "bytes in all"),
    "weights of -1": (lambda model: model.graph.initializer[0].dims.__setitem__(0, -1), r"\[-1, 3, 3, 2\]"),
    "many nodes": (
        lambda model: model.graph.node.extend([model.graph.node[1]] * (MOST_NODES + 1)),
        "at most 20,000 nodes",
    ),
    **{
        f"{operator}, {by_constant}": (_blown_up(operator, by_constant=by_constant), f"{operator} of the shape")
        for operator in ("ConstantOfShape", "Expand", "Tile")
        for by_constant in (False, True)
    },
    "ConstantOfShape of integers": (_blown_up_by_integers, r"ConstantOfShape of the shape \[32768, 16384\]"),
    "ConstantOfShape of typed data": (_blown_up_by_typed_data, "ConstantOfShape of the shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_check_graph_refuses_in_one_line(name):
    change, message = REFUSED[name]
    file = parse_model_file(plain_files.change_plain(change), "m.onnx")
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=message) as caught:
            check_graph(file)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith("m.onnx: the file is not taken, because nothing is proven of it: expected ")
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (6, False)


@pytest.mark.parametrize("operator", ["ConstantOfShape", "Expand", "Tile"])
def test_check_graph_takes_shapes_of_a_sensible_size(operator):
    def change(model):
        model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 8, 8], np.int64), "shape"))
        inputs = ["shape"] if operator == "ConstantOfShape" else ["weights", "shape"]
        model.graph.node.insert(0, helper.make_node(operator, inputs, ["map2"]))

    assert check(plain_files.change_plain(change)).operators[operator] == 1


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4])
def test_check_graph_takes_weights_of_less_than_a_byte(kind):
    def change(model):
        model.graph.initializer.append(TensorProto(name="w4", data_type=kind, dims=[100], raw_data=bytes(50)))

    assert check(plain_files.change_plain(change)).parameters_by_type[kind] == 100


def test_check_graph_says_how_to_save_a_file_whole(tmp_path):
    path = plain_files.write_external(tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=r"Save it whole, with onnx.save\(onnx.load\(FILE\), OTHER\)"):
        check(path.read_bytes())
    onnx.save(onnx.load(path), tmp_path / "whole.onnx")  # what the message says
    assert check((tmp_path / "whole.onnx").read_bytes()).nodes == 3
