import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn_exporters.rewrites.pixel_shuffle import shuffle_transposed_convolutions

SHUFFLED = ["Conv", "Transpose", "Reshape", "Transpose", "Reshape", "Transpose"]


@pytest.fixture(scope="module")
def transposed(make_graph, float_tensor):
    def make(shape=(1, 3, 4, 5), filters=2, kernel=(2, 2), *, bias=True, made=None, **options):
        options = {"strides": list(kernel)} | options
        random = np.random.default_rng(0)
        group = options.get("group", 1)
        weights = {"w": random.normal(size=(shape[1], filters // group, *kernel)).astype(np.float32)}
        if bias:
            weights["b"] = random.normal(size=filters).astype(np.float32)
        made = made or (*shape[:1], filters, shape[2] * kernel[0], shape[3] * kernel[1])
        nodes = [("ConvTranspose", ["x", *weights], "y", options)]
        return make_graph(nodes, {"x": float_tensor(*shape)}, {"y": float_tensor(*made)}, weights)

    return make


def draw(shape):
    return {"x": np.random.default_rng(1).normal(size=shape).astype(np.float32)}


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
    filters=st.integers(1, 4),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    bias=st.booleans(),
)
def test_shuffle_transposed_convolutions_answers_alike(
    transposed, run, operators, largest_difference, shape, filters, kernel, bias
):
    model = transposed(shape, filters, kernel, bias=bias)
    shuffled, changed = shuffle_transposed_convolutions(model)
    assert changed
    assert operators(shuffled) == SHUFFLED
    assert largest_difference(run(model, draw(shape)), run(shuffled, draw(shape))) <= 1e-6


def test_shuffle_transposed_convolutions_works_for_any_batch(transposed, run, largest_difference):
    model = transposed(("batch", 3, 4, 5), made=("batch", 2, 8, 10))
    shuffled, changed = shuffle_transposed_convolutions(model)
    assert changed
    for images in (1, 3):
        feeds = draw((images, 3, 4, 5))
        assert largest_difference(run(model, feeds), run(shuffled, feeds)) <= 1e-6


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ({"strides": [1, 1]}, (1, 2, 5, 6)),
        ({"strides": [2, 1]}, (1, 2, 8, 6)),
        ({"strides": [3, 3]}, (1, 2, 11, 14)),
        ({"pads": [1, 1, 1, 1]}, (1, 2, 6, 8)),
        ({"output_padding": [1, 1]}, (1, 2, 9, 11)),
        ({"dilations": [2, 2]}, (1, 2, 9, 11)),
        ({"auto_pad": "SAME_UPPER"}, (1, 2, 8, 10)),
        ({"output_shape": [8, 10]}, (1, 2, 8, 10)),
    ],
)
def test_shuffle_transposed_convolutions_leaves_other_windows_alone(transposed, options, made):
    model = transposed(made=made, **options)
    left, changed = shuffle_transposed_convolutions(model)
    assert left is model
    assert not changed


def test_shuffle_transposed_convolutions_leaves_groups_alone(transposed):
    assert not shuffle_transposed_convolutions(transposed((1, 4, 3, 3), 2, group=2, made=(1, 2, 6, 6)))[1]


@pytest.mark.parametrize("side", [1, 2, 3])
def test_shuffle_transposed_convolutions_of_a_free_size_answers_alike(
    transposed, run, operators, largest_difference, side
):
    model = transposed((1, 3, "height", "width"), kernel=(side, side), made=(1, 2, "tall", "wide"))
    shuffled, changed = shuffle_transposed_convolutions(model)
    assert changed
    assert operators(shuffled) == ["Conv", "DepthToSpace"]
    for size in ((1, 1), (4, 5), (7, 2)):
        feeds = draw((1, 3, *size))
        assert largest_difference(run(model, feeds), run(shuffled, feeds)) <= 1e-6


def test_shuffle_transposed_convolutions_leaves_blocks_of_a_free_size_that_are_no_squares_alone(transposed):
    model = transposed((1, 3, "height", "width"), kernel=(2, 3), made=(1, 2, "tall", "wide"))
    assert not shuffle_transposed_convolutions(model)[1]


def test_shuffle_transposed_convolutions_leaves_a_kernel_that_is_calculated_alone(make_graph, float_tensor):
    nodes = [("ConvTranspose", ["x", "w"], "y", {"strides": [2, 2]})]
    inputs = {"x": float_tensor(1, 1, 2, 2), "w": float_tensor(1, 1, 2, 2)}
    assert not shuffle_transposed_convolutions(make_graph(nodes, inputs, {"y": float_tensor(1, 1, 4, 4)}))[1]


def test_shuffle_transposed_convolutions_keeps_a_kernel_that_others_read(
    make_graph, run, float_tensor, largest_difference
):
    kernel = np.random.default_rng(0).normal(size=(2, 2, 2, 2)).astype(np.float32)
    nodes = [
        ("ConvTranspose", ["x", "w"], "a", {"strides": [2, 2]}),
        ("ConvTranspose", ["a", "w"], "y", {"strides": [1, 1]}),
    ]
    model = make_graph(nodes, {"x": float_tensor(1, 2, 2, 2)}, {"y": float_tensor(1, 2, 5, 5)}, {"w": kernel})
    shuffled, changed = shuffle_transposed_convolutions(model)
    assert changed
    feeds = draw((1, 2, 2, 2))
    assert largest_difference(run(model, feeds), run(shuffled, feeds)) <= 1e-6
