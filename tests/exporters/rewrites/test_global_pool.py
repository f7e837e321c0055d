import numpy as np
import pytest

from edgecnn_exporters.rewrites.global_pool import pool_instead_of_mean

SHAPE = (2, 5, 7, 6)


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture
def make_mean(make_graph, float_tensor):
    def make(axes, made, *, opset=17, shape=SHAPE, **options):
        inputs, weights = ["x"], {}
        if opset < 18:
            options["axes"] = axes
        else:
            inputs, weights = ["x", "axes"], {"axes": np.array(axes, np.int64)}
        return make_graph(
            [("ReduceMean", inputs, "y", options)],
            {"x": float_tensor(*shape)},
            {"y": float_tensor(*made)},
            weights,
            opset=opset,
        )

    return make


@pytest.mark.parametrize("opset", [13, 17, 18])
@pytest.mark.parametrize("axes", [[2, 3], [-1, -2]])
@pytest.mark.parametrize("options", [{}, {"keepdims": 1}], ids=["by default", "said"])
def test_pool_instead_of_mean_answers_alike(make_mean, run, largest_difference, operators, opset, axes, options):
    before = make_mean(axes, (2, 5, 1, 1), opset=opset, **options)
    after, changed = pool_instead_of_mean(before)
    assert changed
    assert operators(after) == ["GlobalAveragePool"]
    assert [weight.name for weight in after.graph.initializer] == []
    feeds = {"x": normal(*SHAPE)}
    assert largest_difference(run(before, feeds), run(after, feeds)) < 1e-6


def test_pool_instead_of_mean_takes_any_batch_and_size(make_mean, run, largest_difference):
    before = make_mean([2, 3], ("n", 5, 1, 1), shape=("n", 5, "h", "w"))
    after, _ = pool_instead_of_mean(before)
    for shape in ((1, 5, 3, 4), (3, 5, 8, 2)):
        feeds = {"x": normal(*shape)}
        assert largest_difference(run(before, feeds), run(after, feeds)) < 1e-6


@pytest.mark.parametrize(
    ("axes", "made", "options"),
    [
        ([2, 3], (2, 5), {"keepdims": 0}),
        ([1, 2], (2, 1, 1, 6), {}),
        ([3], (2, 5, 7, 1), {}),
        ([1, 2, 3], (2, 1, 1, 1), {}),
    ],
    ids=["axes gone", "of the last axis' channels", "of rows", "of all"],
)
def test_pool_instead_of_mean_leaves_other_means_alone(make_mean, axes, made, options):
    model = make_mean(axes, made, **options)
    after, changed = pool_instead_of_mean(model)
    assert after is model
    assert not changed


def test_pool_instead_of_mean_leaves_maps_of_another_rank_alone(make_mean):
    assert not pool_instead_of_mean(make_mean([2, 3], (2, 5, 1, 1, 4), shape=(2, 5, 7, 6, 4)))[1]


def test_pool_instead_of_mean_leaves_axes_that_the_run_decides_alone(make_graph, float_tensor):
    model = make_graph(
        [("ReduceMean", ["x", "axes"], "y", {})],
        {"x": float_tensor(*SHAPE), "axes": (7, (2,))},
        {"y": float_tensor(2, 5, 1, 1)},
        opset=18,
    )
    assert not pool_instead_of_mean(model)[1]
