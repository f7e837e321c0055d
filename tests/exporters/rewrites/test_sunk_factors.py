import numpy as np
import pytest
from onnx import numpy_helper

from edgecnn_exporters.rewrites.sunk_factors import sink_factors

CHANNELS, FILTERS, SIZE = 4, 3, 5
SIXTH = np.float32(1 / 6)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


WEIGHTS = {
    "three": np.float32(3),
    "low": np.float32(0),
    "high": np.float32(6),
    "sixth": SIXTH,
    "kernel": normal(FILTERS, CHANNELS, 1, 1),
    "bias": normal(FILTERS, seed=1),
    "squeeze": normal(2, CHANNELS, 1, 1, seed=2),
    "excite": normal(CHANNELS, 2, 1, 1, seed=3),
    "matrix": normal(CHANNELS, FILTERS, seed=4),
    "rows_shape": np.array([10, 10]),
}


def clipped(name, source):
    return [
        ("Add", [source, "three"], f"{name}_shifted", {}),
        ("Clip", [f"{name}_shifted", "low", "high"], f"{name}_clipped", {}),
        ("Mul", [f"{name}_clipped", "sixth"], f"{name}_sigmoid", {}),
    ]


def swished(name, source):
    return [*clipped(name, source), ("Mul", [source, f"{name}_sigmoid"], name, {})]


@pytest.fixture
def make_model(make_graph, float_tensor):
    def make(nodes, shape=(1, FILTERS, SIZE, SIZE)):
        weights = {name: values for name, values in WEIGHTS.items() if any(name in read for _, read, _, _ in nodes)}
        # A layer comes first: what stands before it is the normalisation of the image.
        first = [("Conv", ["image", "entrance"], "x", {})]
        weights["entrance"] = normal(CHANNELS, CHANNELS, 1, 1, seed=5)
        inputs = {"image": float_tensor(1, CHANNELS, SIZE, SIZE)}
        return make_graph([*first, *nodes], inputs, {"y": float_tensor(*shape)}, weights)

    return make


@pytest.fixture
def assert_sunk(make_model, run, largest_difference, operators):
    def check(nodes, left, **options):
        before = make_model(nodes, **options)
        after, changed = sink_factors(before)
        assert changed
        assert operators(after).count("Mul") == left
        feeds = {"image": 3 * normal(1, CHANNELS, SIZE, SIZE, seed=7)}
        assert largest_difference(run(before, feeds), run(after, feeds)) < 2e-6
        return after

    return check


def test_sink_factors_brings_the_sixth_of_a_hard_swish_into_the_convolution_behind_it(assert_sunk):
    after = assert_sunk([*swished("swish", "x"), ("Conv", ["swish", "kernel", "bias"], "y", {})], left=1)
    assert [node.name for node in after.graph.node if node.op_type == "Conv"][-1] == "layer//5/sunk_factors/0"


def test_sink_factors_passes_means_and_moves(assert_sunk):
    nodes = [
        *swished("swish", "x"),
        ("GlobalAveragePool", ["swish"], "mean", {}),
        ("Flatten", ["mean"], "flat", {}),
        ("MatMul", ["flat", "matrix"], "y", {}),
    ]
    assert_sunk(nodes, left=1, shape=(1, FILTERS))


@pytest.mark.parametrize("options", [{}, {"alpha": 0.5, "beta": 3.0}])
def test_sink_factors_leaves_the_bias_of_a_gemm_as_it_is(assert_sunk, options):
    nodes = [
        *swished("swish", "x"),
        ("GlobalAveragePool", ["swish"], "mean", {}),
        ("Flatten", ["mean"], "flat", {}),
        ("Gemm", ["flat", "matrix", "bias"], "y", options),
    ]
    assert_sunk(nodes, left=1, shape=(1, FILTERS))


def test_sink_factors_brings_both_sixths_of_a_gated_swish_into_what_reads_it(assert_sunk):
    nodes = [
        *swished("swish", "x"),
        ("GlobalAveragePool", ["swish"], "mean", {}),
        ("Conv", ["mean", "squeeze"], "squeezed", {}),
        ("Conv", ["squeezed", "excite"], "excited", {}),
        *clipped("gate", "excited"),
        ("Mul", ["swish", "gate_sigmoid"], "gated", {}),
        ("Conv", ["gated", "kernel", "bias"], "y", {}),
    ]
    after = assert_sunk(nodes, left=2)
    kernels = {tuple(w.dims): numpy_helper.to_array(w) for w in after.graph.initializer if w.name.endswith("/kernel")}
    for name, factor in (("kernel", 1 / 36), ("squeeze", 1 / 6)):
        np.testing.assert_allclose(kernels[WEIGHTS[name].shape], WEIGHTS[name] * factor, rtol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ([*swished("y", "x")], (1, CHANNELS, SIZE, SIZE)),
        ([*swished("swish", "x"), ("Add", ["swish", "x"], "y", {})], (1, CHANNELS, SIZE, SIZE)),
        (
            [
                *clipped("gate", "x"),
                ("Mul", ["gate_sigmoid", "gate_sigmoid"], "square", {}),
                ("Conv", ["square", "kernel"], "y", {}),
            ],
            (1, FILTERS, SIZE, SIZE),
        ),
        (
            [
                *swished("swish", "x"),
                ("GlobalAveragePool", ["swish"], "mean", {}),
                ("Mul", ["swish", "mean"], "gated", {}),
                ("Conv", ["gated", "kernel"], "y", {}),
            ],
            (1, FILTERS, SIZE, SIZE),
        ),
        (
            [
                *swished("swish", "x"),
                ("Sigmoid", ["swish"], "curved", {}),
                ("Conv", ["curved", "kernel"], "y", {}),
            ],
            (1, FILTERS, SIZE, SIZE),
        ),
    ],
    ids=["an output", "a sum", "a square", "its own mean", "a curve"],
)
def test_sink_factors_leaves_alone_what_another_reads_or_reads_twice(make_model, nodes, shape):
    model = make_model(nodes, shape=shape)
    after, changed = sink_factors(model)
    assert after is model
    assert not changed


def test_sink_factors_leaves_weights_that_are_made_at_run_time_alone(make_model):
    nodes = [
        *swished("swish", "x"),
        ("Reshape", ["x", "rows_shape"], "made", {}),
        ("Reshape", ["swish", "rows_shape"], "rows", {}),
        ("MatMul", ["rows", "made"], "y", {}),
    ]
    assert not sink_factors(make_model(nodes, shape=(10, 10)))[1]
