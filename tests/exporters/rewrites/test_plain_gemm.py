import numpy as np
import pytest

from edgecnn_exporters.rewrites.plain_gemm import plain_gemm
from edgecnn_exporters.rewrites.wiring import attributes

FEATURES, FILTERS = 5, 3


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def make_gemm(make_graph, float_tensor):
    def make(bias, *, images=2, **options):
        kernel = normal(FILTERS, FEATURES) if options.get("transB") else normal(FEATURES, FILTERS)
        weights = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}
        return make_graph(
            [("Gemm", ["x", *weights], "y", options)],
            {"x": float_tensor(images, FEATURES)},
            {"y": float_tensor(images, FILTERS)},
            weights,
        )

    return make


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize(
    "bias", [None, normal(FILTERS), normal(1, FILTERS), np.float32(0.5), normal(1), normal(1, 1)], ids=np.shape
)
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (2.0, 1.0), (0.5, -3.0), (1.0, 0.0)])
def test_plain_gemm_moves_factors_into_the_weights(
    make_gemm, run, largest_difference, operators, transposed, bias, alpha, beta
):
    before = make_gemm(bias, transB=transposed, alpha=alpha, beta=beta)
    after, _ = plain_gemm(before)
    (node,) = after.graph.node
    assert operators(after) == ["Gemm"]
    assert {attributes(node).get(name, 1.0) for name in ("alpha", "beta")} <= {1.0} or bias is None
    assert all(list(weight.dims) == [FILTERS] for weight in after.graph.initializer if "bias" in weight.name)
    feeds = {"x": normal(2, FEATURES, seed=1)}
    assert largest_difference(run(before, feeds), run(after, feeds)) < 1e-6


@pytest.mark.parametrize("bias", [normal(FILTERS), None], ids=np.shape)
def test_plain_gemm_leaves_a_plain_one_alone(make_gemm, bias):
    model = make_gemm(bias)
    after, changed = plain_gemm(model)
    assert after is model
    assert not changed


def test_plain_gemm_leaves_a_bias_for_each_image_alone(make_gemm):
    _, changed = plain_gemm(make_gemm(normal(2, FILTERS), beta=2.0))
    assert not changed


def test_plain_gemm_leaves_alone_what_is_made_at_run_time(make_graph, float_tensor):
    model = make_graph(
        [("Gemm", ["x", "x", "bias"], "y", {"alpha": 2.0})],
        {"x": float_tensor(2, 2)},
        {"y": float_tensor(2, 2)},
        {"bias": normal(2)},
    )
    assert not plain_gemm(model)[1]
