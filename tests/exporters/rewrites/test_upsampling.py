import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn_exporters.rewrites.upsampling import resize_instead_of_tile


@pytest.fixture(scope="module")
def repeated(make_graph, float_tensor):
    """What is left of Keras' UpSampling2D: the rows are repeated in (N, C, H, W), the columns in (N, H, W, C)."""

    def make(channels=3, size=(2, 4), factors=(2, 2), *, batch=1, outputs=()):
        (height, width), (rows, columns) = size, factors
        images = 0 if batch == "batch" else batch
        weights = {
            "axis": np.int64([3]),
            "rows": np.int64([1, 1, 1, rows, 1]),
            "split": np.int64([images, rows * height, width, 1, channels]),
            "columns": np.int64([1, 1, 1, columns, 1]),
            "joined": np.int64([images, rows * height, columns * width, channels]),
        }
        nodes = [
            ("Unsqueeze", ["x", "axis"], "a", {}),
            ("Tile", ["a", "rows"], "b", {}),
            ("Transpose", ["b"], "c", {"perm": [0, 2, 3, 4, 1]}),
            ("Reshape", ["c", "split"], "d", {}),
            ("Tile", ["d", "columns"], "e", {}),
            ("Reshape", ["e", "joined"], "f", {}),
            ("Transpose", ["f"], "y", {"perm": [0, 3, 1, 2]}),
        ]
        made = {"y": float_tensor(batch, channels, rows * height, columns * width)}
        made |= {name: float_tensor(batch, channels, height, rows, width) for name in outputs}
        return make_graph(nodes, {"x": float_tensor(batch, channels, height, width)}, made, weights)

    return make


def draw(*shape):
    return {"x": np.random.default_rng(0).normal(size=shape).astype(np.float32)}


@settings(deadline=None, max_examples=30)
@given(
    channels=st.integers(1, 4),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    factors=st.tuples(st.integers(1, 4), st.integers(1, 4)).filter(lambda pair: pair != (1, 1)),
)
def test_resize_instead_of_tile_gives_the_same_bits(repeated, run, operators, channels, size, factors):
    model = repeated(channels, size, factors)
    resized, changed = resize_instead_of_tile(model)
    assert changed
    assert operators(resized) == ["Resize"]
    feeds = draw(1, channels, *size)
    np.testing.assert_array_equal(run(resized, feeds)["y"], run(model, feeds)["y"])


def test_resize_instead_of_tile_works_for_any_batch(repeated, run, operators):
    model = repeated(batch="batch")
    resized, changed = resize_instead_of_tile(model)
    assert changed
    assert operators(resized) == ["Resize"]
    for images in (1, 3):
        feeds = draw(images, 3, 2, 4)
        np.testing.assert_array_equal(run(resized, feeds)["y"], run(model, feeds)["y"])


def test_resize_instead_of_tile_leaves_whole_images_side_by_side_alone(make_graph, float_tensor):
    weights = {"times": np.int64([1, 1, 2, 2]), "shape": np.int64([1, 3, 4, 8])}
    nodes = [("Tile", ["x", "times"], "a", {}), ("Reshape", ["a", "shape"], "y", {})]
    model = make_graph(nodes, {"x": float_tensor(1, 3, 2, 4)}, {"y": float_tensor(1, 3, 4, 8)}, weights)
    left, changed = resize_instead_of_tile(model)
    assert left is model
    assert not changed


def test_resize_instead_of_tile_leaves_moves_that_repeat_nothing_alone(make_graph, float_tensor):
    nodes = [("Transpose", ["x"], "a", {"perm": [0, 2, 3, 1]}), ("Transpose", ["a"], "y", {"perm": [0, 3, 1, 2]})]
    model = make_graph(nodes, {"x": float_tensor(1, 3, 2, 4)}, {"y": float_tensor(1, 3, 2, 4)})
    assert not resize_instead_of_tile(model)[1]


def test_resize_instead_of_tile_leaves_a_chain_alone_whose_middle_is_an_output(repeated):
    assert not resize_instead_of_tile(repeated(outputs=("b",)))[1]


def test_resize_instead_of_tile_leaves_a_count_that_is_calculated_alone(make_graph, float_tensor):
    nodes = [("Tile", ["x", "times"], "a", {}), ("Transpose", ["a"], "y", {"perm": [0, 1, 2, 3]})]
    inputs = {"x": float_tensor(1, 1, 1, 1), "times": (7, (4,))}
    assert not resize_instead_of_tile(make_graph(nodes, inputs, {"y": float_tensor(1, 1, 2, 2)}))[1]
