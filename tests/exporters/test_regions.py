import math

import pytest
from onnx import helper

from edgecnn_exporters.quantization.quantize import INT8_OPERATORS
from edgecnn_exporters.regions import (
    after_choice,
    cheap_last_convolutions,
    compute_layers,
    float_arithmetic,
    outside,
    with_producer,
)


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


CHOOSING = graph(
    ("scores", "Conv", ["x", "w"]),
    ("moved", "Reshape", ["scores"]),
    ("best", "TopK", ["moved"]),
    ("boxes", "Add", ["best", "w"]),
    ("look", "MatMul", ["boxes", "x"]),
    ("dense", "Gemm", ["look", "w"]),
    ("answer", "Mul", ["dense", "w"]),
    ("beside", "Mul", ["x", "w"]),
)


def test_after_choice_ends_at_the_next_layer_with_weights():
    assert after_choice(CHOOSING) == ("best", "boxes", "look")


def test_after_choice_is_nothing_where_nothing_is_ranked():
    assert after_choice(CHAIN) == ()


def test_compute_layers_are_those_with_constant_weights_of_fewer_bits_too():
    small = graph(("w2", "DequantizeLinear", ["w"]), ("x2", "DequantizeLinear", ["x"]), ("conv", "Conv", ["x2", "w2"]))
    assert compute_layers(small) == ("conv",)


def convolutions(*, filters=8, side=16, last="Transpose", height=16):
    """Two convolutions of 64 x 64 x 9 products a place, and one of 64 x `filters` whose numbers are the output."""
    sizes = {"first": (64, 64, 3, 3), "second": (64, 64, 3, 3), "third": (filters, 64, 1, 1)}
    weights = [helper.make_tensor(f"{name} w", 1, dims, [0.0] * math.prod(dims)) for name, dims in sizes.items()]
    same = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "first w"], ["a"], "first", **same),
        helper.make_node("Conv", ["a", "second w"], ["b"], "second", **same),
        helper.make_node("Conv", ["b", "third w"], ["c"], "third"),
        helper.make_node(last, ["c"], ["y"], "last", **({"perm": [0, 2, 3, 1]} if last == "Transpose" else {})),
    ]
    tensors = [
        helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", [1, 64, height, side]), ("y", None))
    ]
    made = helper.make_graph(nodes, "g", tensors[:1], tensors[1:], weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])


def test_cheap_last_convolutions_are_those_whose_numbers_are_outputs():
    assert cheap_last_convolutions(convolutions()) == ("third",)
    assert cheap_last_convolutions(convolutions(last="Sigmoid")) == ()  # its numbers are no output


def test_cheap_last_convolutions_are_none_where_they_cost_something():
    assert cheap_last_convolutions(convolutions(filters=34)) == ("third",)  # 2.9 % of all products
    assert cheap_last_convolutions(convolutions(filters=37)) == ()  # 3.1 %


def test_cheap_last_convolutions_are_none_where_sizes_are_free():
    assert cheap_last_convolutions(convolutions(height="height")) == ()


@pytest.mark.parametrize(
    ("nodes", "kept"),
    [
        # A gate of a layer, and a residual sum, are of integers.
        ([("a", "Conv", ["x", "w"]), ("b", "Sigmoid", ["a"]), ("c", "Mul", ["a", "b"]), ("d", "Conv", ["c", "w"])], ()),
        (
            [("a", "Conv", ["x", "w"]), ("b", "Conv", ["a", "w"]), ("c", "Add", ["a", "b"]), ("d", "Conv", ["c", "w"])],
            (),
        ),
        # What a tanh makes is float32 already; what only a tanh reads is going to be.
        (
            [("a", "Conv", ["x", "w"]), ("b", "Tanh", ["a"]), ("c", "Mul", ["a", "b"]), ("d", "Conv", ["c", "w"])],
            ("c",),
        ),
        (
            [("a", "Conv", ["x", "w"]), ("b", "Mul", ["a", "w"]), ("c", "Tanh", ["b"]), ("d", "Conv", ["c", "w"])],
            ("b",),
        ),
        ([("a", "Conv", ["x", "w"]), ("b", "Mul", ["a", "w"]), ("c", "Tanh", ["b"]), ("d", "Conv", ["b", "w"])], ()),
        # It is handed on through moves, sums and means.
        (
            [
                ("a", "Conv", ["x", "w"]),
                ("b", "Tanh", ["a"]),
                ("c", "Transpose", ["b"]),
                ("d", "Add", ["c", "a"]),
                ("e", "GlobalAveragePool", ["d"]),
                ("f", "Conv", ["e", "w"]),
            ],
            ("d", "e"),
        ),
        # A part of integers is of integers.
        (
            [
                ("a", "Conv", ["x", "w"]),
                ("b", "Slice", ["a"]),
                ("c", "Pad", ["b"]),
                ("d", "Conv", ["c", "w"]),
                ("e", "Add", ["c", "d"]),
                ("f", "Split", ["e"]),
                ("g", "Conv", ["f", "w"]),
            ],
            (),
        ),
        # A sum with a matrix product, and the next one; no product, and no bias.
        (
            [
                ("a", "Gemm", ["x", "w"]),
                ("b", "Reshape", ["a"]),
                ("c", "Add", ["x", "b"]),
                ("d", "Conv", ["c", "w"]),
                ("e", "Add", ["c", "d"]),
                ("f", "Conv", ["e", "w"]),
            ],
            ("c", "e"),
        ),
        (
            [
                ("a", "MatMul", ["x", "w"]),
                ("b", "Add", ["a", "w"]),
                ("c", "Mul", ["b", "x"]),
                ("d", "Gemm", ["c", "w"]),
            ],
            (),
        ),
    ],
)
def test_float_arithmetic_is_what_has_floats_beside_it(nodes, kept):
    assert float_arithmetic(graph(*nodes), INT8_OPERATORS) == kept


def test_float_arithmetic_rounds_what_is_an_output_too():
    read = graph(("a", "Conv", ["x", "w"]), ("b", "Mul", ["a", "w"]), ("c", "Tanh", ["b"]))
    assert float_arithmetic(read, INT8_OPERATORS) == ("b",)
    read.output.add(name="b")
    assert float_arithmetic(read, INT8_OPERATORS) == ()
