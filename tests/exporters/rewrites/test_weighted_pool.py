import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn_exporters.rewrites.weighted_pool import weighted_pool_as_convolution

POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}


@pytest.fixture(scope="module")
def pooled(make_graph, float_tensor):
    """A convolution, Tanh, steps of arithmetic round a pool, and Tanh; the channel's constants are called c0, c1."""

    def make(*steps, size=(6, 6), made=None, pool=None, channels=3, batch=1):
        random = np.random.default_rng(0)
        weights = {"w": random.normal(size=(channels, channels, 1, 1)).astype(np.float32)}
        weights |= {f"c{n}": random.normal(1, 0.3, (channels, 1, 1)).astype(np.float32) for n in range(len(steps))}
        nodes, tensor = [("Conv", ["x", "w"], "a", {}), ("Tanh", ["a"], "b", {})], "b"
        for number, operator in enumerate(steps):
            mean = operator.endswith("Pool")
            reads = [tensor] if mean else [tensor, f"c{number}"]
            nodes.append((operator, reads, f"t{number}", (pool or POOL) if operator == "AveragePool" else {}))
            tensor = f"t{number}"
        nodes.append(("Tanh", [tensor], "y", {}))
        shape = (batch, channels, *(made or (size[0] // 2, size[1] // 2)))
        return make_graph(nodes, {"x": float_tensor(batch, channels, *size)}, {"y": float_tensor(*shape)}, weights)

    return make


def draw(size=(6, 6), channels=3, images=1):
    return {"x": np.random.default_rng(1).normal(size=(images, channels, *size)).astype(np.float32)}


@settings(deadline=None, max_examples=40)
@given(
    size=st.tuples(st.integers(3, 8), st.integers(3, 8)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    channels=st.sampled_from([1, 3, 8, 16]),
    before=st.lists(st.sampled_from(["Mul", "Add"]), max_size=2),
    behind=st.lists(st.sampled_from(["Mul", "Add"]), max_size=2),
)
def test_weighted_pool_as_convolution_answers_alike(
    pooled, run, operators, largest_difference, size, kernel, strides, channels, before, behind
):
    pool = {"kernel_shape": list(kernel), "strides": list(strides)}
    made = tuple((size[axis] - kernel[axis]) // strides[axis] + 1 for axis in (0, 1))
    model = pooled(*before, "AveragePool", *behind, size=size, made=made, pool=pool, channels=channels)
    changed_model, changed = weighted_pool_as_convolution(model)
    assert changed == bool(before or behind)
    if changed:
        assert operators(changed_model) == ["Conv", "Tanh", "Conv", "Tanh"]
    feeds = draw(size, channels)
    assert largest_difference(run(model, feeds), run(changed_model, feeds)) <= 2e-6


def test_weighted_pool_as_convolution_works_for_any_batch_and_size(pooled, run, largest_difference):
    model = pooled("AveragePool", "Mul", "Add", size=("height", "width"), made=("low", "narrow"), batch="batch")
    changed_model, changed = weighted_pool_as_convolution(model)
    assert changed
    for images, size in ((1, (4, 6)), (3, (5, 7))):
        feeds = draw(size, images=images)
        assert largest_difference(run(model, feeds), run(changed_model, feeds)) <= 2e-6


@pytest.mark.parametrize(
    ("pool", "made"),
    [
        ({"pads": [1, 1, 1, 1]}, (4, 4)),
        ({"pads": [1, 1, 1, 1], "count_include_pad": 1}, (4, 4)),
        ({"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}, (3, 3)),
        ({"kernel_shape": [3, 3], "ceil_mode": 1}, (3, 3)),
    ],
)
def test_weighted_pool_as_convolution_leaves_windows_over_the_border_alone(pooled, pool, made):
    model = pooled("AveragePool", "Mul", "Add", pool=POOL | pool, made=made)
    left, changed = weighted_pool_as_convolution(model)
    assert left is model
    assert not changed


def test_weighted_pool_as_convolution_leaves_other_pools_alone(pooled):
    assert not weighted_pool_as_convolution(pooled("GlobalAveragePool", "Mul", made=(1, 1)))[1]


def test_weighted_pool_as_convolution_leaves_two_pools_alone(pooled):
    model = pooled("AveragePool", "Mul", "AveragePool", size=(8, 8), made=(2, 2))
    assert not weighted_pool_as_convolution(model)[1]
