import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn_exporters.rewrites import rewrite
from edgecnn_exporters.rewrites.response_normalization import (
    pool_response_normalization,
    response_normalization_nodes,
)

POOLED = [
    "Transpose",
    "Mul",
    "Unsqueeze",
    "AveragePool",
    "Squeeze",
    "Mul",
    "Add",
    "Sqrt",
    "Sqrt",
    "Mul",
    "Div",
    "Transpose",
]


@pytest.fixture(scope="module")
def lrn(make_graph, float_tensor):
    def make(shape=(1, 6, 4, 3), **options):
        options = {"size": 5, "alpha": 5e-4, "beta": 0.75, "bias": 2.0} | options
        kind = float_tensor(*shape)
        return make_graph([("LRN", ["x"], "y", options)], {"x": kind}, {"y": kind})

    return make


def draw(shape, scale=10.0, seed=0):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def test_pool_response_normalization_writes_a_pool_and_two_square_roots(lrn, operators):
    model, changed = pool_response_normalization(lrn())
    assert changed
    assert operators(model) == POOLED


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5)),
    size=st.sampled_from([1, 3, 5, 7]),
    alpha=st.sampled_from([1e-6, 1e-4, 0.3]),
    bias=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_pool_response_normalization_answers_as_the_operator_does(
    lrn, run, largest_difference, shape, size, alpha, bias
):
    model = lrn(shape, size=size, alpha=alpha, bias=bias)
    pooled, _ = pool_response_normalization(model)
    feeds = {"x": draw(shape)}
    assert largest_difference(run(model, feeds), run(pooled, feeds)) <= 1e-5


def test_pool_response_normalization_takes_the_operators_defaults(make_graph, run, float_tensor, largest_difference):
    kind = float_tensor(1, 5, 2, 2)
    model = make_graph([("LRN", ["x"], "y", {"size": 3})], {"x": kind}, {"y": kind})
    pooled, changed = pool_response_normalization(model)
    assert changed
    feeds = {"x": draw((1, 5, 2, 2), scale=100)}
    assert largest_difference(run(model, feeds), run(pooled, feeds)) <= 1e-5


def test_pool_response_normalization_works_for_free_dimensions(lrn, run, largest_difference):
    model = lrn(("batch", 4, "height", "width"))
    pooled, changed = pool_response_normalization(model)
    assert changed
    for shape in ((1, 4, 2, 3), (3, 4, 5, 1)):
        feeds = {"x": draw(shape)}
        assert largest_difference(run(model, feeds), run(pooled, feeds)) <= 1e-5


@pytest.mark.parametrize(
    "options", [{"beta": 0.5}, {"beta": 1.0}, {"bias": 0.0}, {"bias": -1.0}, {"alpha": -1e-4}, {"size": 4}]
)
def test_pool_response_normalization_leaves_other_functions_alone(lrn, options):
    model = lrn(**options)
    left, changed = pool_response_normalization(model)
    assert left is model
    assert not changed


def test_pool_response_normalization_leaves_other_ranks_alone(lrn):
    assert not pool_response_normalization(lrn((1, 6, 4)))[1]


def test_pool_response_normalization_keeps_an_output_that_is_read_too(
    make_graph, run, float_tensor, largest_difference
):
    kind = float_tensor(1, 6, 2, 2)
    nodes = [("LRN", ["x"], "y", {"size": 3, "beta": 0.75}), ("Relu", ["y"], "z", {}), ("Neg", ["x"], "w", {})]
    model = make_graph(nodes, {"x": kind}, dict.fromkeys("yzw", kind))
    pooled, changed = pool_response_normalization(model)
    assert changed
    feeds = {"x": draw((1, 6, 2, 2))}
    assert largest_difference(run(model, feeds), run(pooled, feeds)) <= 1e-5


def test_pool_response_normalization_does_not_change_its_argument(lrn):
    model = lrn()
    before = model.SerializeToString(deterministic=True)
    pool_response_normalization(model)
    assert model.SerializeToString(deterministic=True) == before


def test_pool_response_normalization_keeps_the_layer_in_the_names(lrn):
    model, _ = pool_response_normalization(lrn())
    names = [node.name for node in model.graph.node]
    assert all(name.startswith("layer//0/") for name in names)
    assert len(set(names)) == len(names)


def test_response_normalization_nodes_names_what_stands_between_the_transposes(make_graph, float_tensor):
    kind = float_tensor(1, 6, 2, 2)
    nodes = [("LRN", ["x"], "a", {"size": 3, "beta": 0.75}), ("Mul", ["a", "a"], "b", {}), ("Sqrt", ["b"], "y", {})]
    model, _ = pool_response_normalization(make_graph(nodes, {"x": kind}, {"y": kind}))
    expected = {node.name for node in model.graph.node if node.name.startswith("layer//0")}
    expected -= {node.name for node in model.graph.node if node.op_type == "Transpose"}
    assert set(response_normalization_nodes(model)) == expected
    assert len(expected) == len(POOLED) - 2


@pytest.mark.parametrize(("alpha", "nodes"), [(0.5, 10), (1.0, 9)])
def test_response_normalization_nodes_stay_after_their_constants_are_folded(make_graph, float_tensor, alpha, nodes):
    kind, weights = float_tensor(1, 6, 4, 3), {"w": np.ones((6, 6, 1, 1), np.float32)}
    options = {"size": 5, "alpha": alpha, "beta": 0.75, "bias": 2.0}
    layers = [("Conv", ["x", "w"], "a", {}), ("LRN", ["a"], "b", options), ("Conv", ["b", "w"], "y", {})]
    model, applied = rewrite(make_graph(layers, {"x": kind}, {"y": kind}, weights), precision="float32")
    again, _ = rewrite(model, precision="int8")
    assert "response_normalization" in applied
    assert len(response_normalization_nodes(again)) == nodes


def test_response_normalization_nodes_names_no_other_quotient(make_graph, float_tensor):
    kind = float_tensor(1, 6, 2, 2)
    nodes = [("Mul", ["x", "x"], "a", {}), ("Sqrt", ["a"], "b", {}), ("Div", ["x", "b"], "y", {})]
    assert response_normalization_nodes(make_graph(nodes, {"x": kind}, {"y": kind})) == ()
