import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn_exporters.rewrites.pool_first import pool_before_leaky_relu

POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}


@pytest.fixture(scope="module")
def activated_and_pooled(make_graph, float_tensor):
    def make(size=(4, 6), *, activation="LeakyRelu", options=None, pool=None):
        pool = pool or POOL
        nodes = [(activation, ["x"], "a", options or {}), ("MaxPool", ["a"], "y", pool)]
        padded = [pool.get("pads", [0] * 4)[axis] + pool.get("pads", [0] * 4)[axis + 2] for axis in (0, 1)]
        kernel, strides = pool["kernel_shape"], pool.get("strides", [1, 1])
        made = [(size[axis] + padded[axis] - kernel[axis]) // strides[axis] + 1 for axis in (0, 1)]
        return make_graph(nodes, {"x": float_tensor(1, 3, *size)}, {"y": float_tensor(1, 3, *made)})

    return make


def draw(size=(4, 6)):
    return {"x": np.random.default_rng(0).normal(0, 3, (1, 3, *size)).astype(np.float32)}


@settings(deadline=None, max_examples=30)
@given(
    size=st.tuples(st.integers(3, 7), st.integers(3, 7)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.sampled_from([(2, 2), (1, 2), (3, 1)]),
    padding=st.integers(0, 1),
    alpha=st.sampled_from([0.0, 0.1, 1.0, 2.0]),
)
def test_pool_before_leaky_relu_gives_the_same_bits(
    activated_and_pooled, run, operators, size, kernel, strides, padding, alpha
):
    pads = [padding if side > 1 else 0 for side in kernel] * 2
    pool = {"kernel_shape": list(kernel), "strides": list(strides), "pads": pads}
    model = activated_and_pooled(size, options={"alpha": alpha}, pool=pool)
    swapped, changed = pool_before_leaky_relu(model)
    assert changed
    assert operators(swapped) == ["MaxPool", "LeakyRelu"]
    np.testing.assert_array_equal(run(swapped, draw(size))["y"], run(model, draw(size))["y"])


@pytest.mark.parametrize(
    ("activation", "options"), [("Relu", {}), ("LeakyRelu", {"alpha": -0.1}), ("Elu", {}), ("Abs", {})]
)
def test_pool_before_leaky_relu_leaves_other_functions_alone(activated_and_pooled, activation, options):
    model = activated_and_pooled(activation=activation, options=options)
    left, changed = pool_before_leaky_relu(model)
    assert left is model
    assert not changed


def test_pool_before_leaky_relu_leaves_a_pool_that_keeps_every_value_alone(activated_and_pooled):
    pool = {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [0, 0, 1, 1]}
    assert not pool_before_leaky_relu(activated_and_pooled(pool=pool))[1]


def test_pool_before_leaky_relu_leaves_an_activation_that_others_read_alone(make_graph, float_tensor):
    whole, half = float_tensor(1, 3, 4, 4), float_tensor(1, 3, 2, 2)
    nodes = [("LeakyRelu", ["x"], "a", {}), ("MaxPool", ["a"], "y", POOL), ("Neg", ["a"], "z", {})]
    assert not pool_before_leaky_relu(make_graph(nodes, {"x": whole}, {"y": half, "z": whole}))[1]


def test_pool_before_leaky_relu_leaves_an_activation_that_is_an_output_alone(make_graph, float_tensor):
    whole, half = float_tensor(1, 3, 4, 4), float_tensor(1, 3, 2, 2)
    nodes = [("LeakyRelu", ["x"], "a", {}), ("MaxPool", ["a"], "y", POOL)]
    assert not pool_before_leaky_relu(make_graph(nodes, {"x": whole}, {"y": half, "a": whole}))[1]


def test_pool_before_leaky_relu_leaves_other_pools_alone(make_graph, float_tensor):
    nodes = [("LeakyRelu", ["x"], "a", {}), ("AveragePool", ["a"], "y", POOL)]
    model = make_graph(nodes, {"x": float_tensor(1, 3, 4, 4)}, {"y": float_tensor(1, 3, 2, 2)})
    assert not pool_before_leaky_relu(model)[1]
