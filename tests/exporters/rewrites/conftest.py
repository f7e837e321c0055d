import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecnn_runtime.session import Session


def make(nodes, inputs, outputs, weights=None, *, opset=17):
    """A model of (operator, inputs, output, attributes), its tensors by name as (element type, shape)."""
    protos = [
        helper.make_node(operator, read, [made] if isinstance(made, str) else made, name=f"layer//{number}", **options)
        for number, (operator, read, made, options) in enumerate(nodes)
    ]
    graph = helper.make_graph(
        protos,
        "graph",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def answers(model, feeds):
    onnx.checker.check_model(model, full_check=True)
    return Session(model.SerializeToString(), device="cpu").run(feeds)


@pytest.fixture(scope="session")
def make_graph():
    return make


@pytest.fixture(scope="session")
def run():
    return answers


@pytest.fixture(scope="session")
def operators():
    return lambda model: [node.op_type for node in model.graph.node]


@pytest.fixture(scope="session")
def float_tensor():
    return lambda *shape: (TensorProto.FLOAT, shape)


@pytest.fixture(scope="session")
def largest_difference():
    """The largest difference of two answers, relative to the largest value of the first."""

    def compare(before, after):
        assert before.keys() == after.keys()
        assert all(before[name].shape == after[name].shape for name in before)
        return max(float(np.abs(before[n] - after[n]).max() / max(np.abs(before[n]).max(), 1e-30)) for n in before)

    return compare
