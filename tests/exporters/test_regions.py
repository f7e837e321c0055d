import pytest
from onnx import helper

from edgecnn_exporters.regions import compute_layers, outside, with_producer


def graph(*nodes, weights=("w",)):
    """Nodes given as (name, operator, inputs), each giving a tensor of its name."""
    made = [helper.make_node(operator, inputs, [name], name) for name, operator, inputs in nodes]
    tensors = [helper.make_tensor(name, 1, [1], [0.0]) for name in weights]
    return helper.make_graph(made, "g", [], [], tensors)


CHAIN = graph(
    ("cast", "Cast", ["image"]),
    ("scale", "Mul", ["cast", "w"]),
    ("conv", "Conv", ["scale", "w"]),
    ("relu", "Relu", ["conv"]),
    ("pool", "MaxPool", ["relu"]),
    ("dense", "Gemm", ["pool", "w"]),
    ("clip", "Relu", ["dense"]),
    ("square", "Mul", ["clip", "clip"]),
)


def test_compute_layers_are_those_with_constant_weights():
    both = graph(("conv", "Conv", ["x", "w"]), ("product", "MatMul", ["conv", "x"]))
    assert compute_layers(both) == ("conv",)


def test_outside_is_what_stands_before_the_first_layer_and_after_the_last():
    assert outside(CHAIN) == ("cast", "scale", "square")


def test_outside_finds_a_branch_that_meets_no_layer():
    split = graph(("conv", "Conv", ["x", "w"]), ("side", "Mul", ["x", "w"]), ("sum", "Add", ["conv", "side"]))
    assert outside(split) == ("side", "sum")


@pytest.mark.parametrize(
    ("layer", "nodes"), [("dense", ("conv", "relu", "pool", "dense")), ("conv", ("scale", "conv"))]
)
def test_with_producer_goes_back_to_what_makes_the_input(layer, nodes):
    assert with_producer(CHAIN, layer) == nodes


def test_with_producer_stops_at_a_sum():
    residual = graph(
        ("a", "Conv", ["x", "w"]), ("sum", "Add", ["a", "x"]), ("relu", "Relu", ["sum"]), ("b", "Conv", ["relu", "w"])
    )
    assert with_producer(residual, "b") == ("sum", "relu", "b")
