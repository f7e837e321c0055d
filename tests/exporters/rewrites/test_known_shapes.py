import numpy as np
import pytest

from edgecnn_exporters.rewrites import rewrite
from edgecnn_exporters.rewrites.known_shapes import write_known_shapes


@pytest.fixture(scope="module")
def reshaped(make_graph, float_tensor):
    """(N, 6, 4) as (N, 3, 8), whose N is copied from the shape of the input."""

    def make(batch="batch"):
        weights = {"zero": np.int64([0]), "one": np.int64([1]), "rest": np.int64([3, 8])}
        nodes = [
            ("Shape", ["x"], "all", {}),
            ("Slice", ["all", "zero", "one", "zero"], "images", {}),
            ("Concat", ["images", "rest"], "shape", {"axis": 0}),
            ("Reshape", ["x", "shape"], "y", {}),
        ]
        made = float_tensor(batch, 3, 8)
        return make_graph(nodes, {"x": float_tensor(batch, 6, 4)}, {"y": made}, weights)

    return make


def draw(images):
    return {"x": np.random.default_rng(0).normal(size=(images, 6, 4)).astype(np.float32)}


@pytest.mark.parametrize("batch", ["batch", 3])
def test_write_known_shapes_gives_the_same_bits_without_the_calculation(reshaped, run, operators, batch):
    model = reshaped(batch)
    written, changed = write_known_shapes(model)
    assert changed
    assert operators(written) == ["Reshape"]
    for images in (1, 3) if batch == "batch" else (3,):
        np.testing.assert_array_equal(run(written, draw(images))["y"], run(model, draw(images))["y"])


def test_write_known_shapes_leaves_a_constant_alone(make_graph, float_tensor):
    weights = {"shape": np.int64([0, 3, 8])}
    nodes = [("Reshape", ["x", "shape"], "y", {})]
    model = make_graph(nodes, {"x": float_tensor("batch", 6, 4)}, {"y": float_tensor("batch", 3, 8)}, weights)
    left, changed = write_known_shapes(model)
    assert left is model
    assert not changed


def test_write_known_shapes_leaves_a_shape_alone_of_which_two_sizes_are_free(make_graph, float_tensor):
    nodes = [("Shape", ["z"], "shape", {}), ("Reshape", ["x", "shape"], "y", {})]
    inputs = {"x": float_tensor("batch", 24), "z": float_tensor("batch", "width", 8)}
    model = make_graph(nodes, inputs, {"y": float_tensor("batch", "width", 8)})
    assert not write_known_shapes(model)[1]


def test_write_known_shapes_leaves_a_shape_alone_that_is_an_input(make_graph, float_tensor):
    inputs = {"x": float_tensor(1, 24), "shape": (7, (3,))}
    model = make_graph([("Reshape", ["x", "shape"], "y", {})], inputs, {"y": float_tensor(1, 3, 8)})
    assert not write_known_shapes(model)[1]


def test_rewrite_makes_one_resize_of_rows_that_are_repeated_by_calculated_shapes(
    make_graph, float_tensor, operators, run
):
    """Keras' UpSampling2D with a free batch: without constants for its shapes the Tiles stay."""
    single = {"zero": 0, "one": 1, "two": 2, "three": 3, "rows": 4, "largest": 2**31 - 1}
    weights = {name: np.int64([number]) for name, number in single.items()}
    weights["times"] = np.int64([1, 1, 1, 2, 1])
    nodes = [
        ("Unsqueeze", ["x", "three"], "a", {}),
        ("Tile", ["a", "times"], "b", {}),
        ("Shape", ["x"], "all", {}),
        ("Slice", ["all", "zero", "one", "zero"], "images", {}),
        ("Slice", ["all", "one", "two", "zero"], "channels", {}),
        ("Slice", ["all", "three", "largest", "zero"], "width", {}),
        ("Concat", ["images", "channels", "rows", "width"], "shape", {"axis": 0}),
        ("Reshape", ["b", "shape"], "y", {}),
    ]
    model = make_graph(nodes, {"x": float_tensor("batch", 3, 2, 5)}, {"y": float_tensor("batch", 3, 4, 5)}, weights)
    rewritten, applied = rewrite(model, precision="float32")
    assert applied == ("known_shapes", "upsampling")
    assert operators(rewritten) == ["Resize"]
    for images in (1, 3):
        feeds = {"x": np.random.default_rng(0).normal(size=(images, 3, 2, 5)).astype(np.float32)}
        np.testing.assert_array_equal(run(rewritten, feeds)["y"], run(model, feeds)["y"])
