import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgecnn_exporters.graph.canonical import canonicalise
from edgecnn_exporters.graph.publish import finish
from edgecnn_exporters.graph.writer import Converted
from edgecnn_exporters.rewrites import pixel_tensors, response_normalization_nodes, rewrite

POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}


@pytest.fixture
def model(make_graph, float_tensor):
    """A small graph that every rewrite has a part in."""
    random = np.random.default_rng(0)
    weights = {
        "scale": np.float32(1 / 255),
        "w": random.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "b": random.normal(size=4).astype(np.float32),
        "up": random.normal(size=(4, 2, 2, 2)).astype(np.float32),
        "axis": np.int64([3]),
        "rows": np.int64([1, 1, 1, 2, 1]),
        "tall": np.int64([1, 2, 12, 6]),
        "each": random.normal(1, 0.2, (4, 1, 1)).astype(np.float32),
        "half": np.float32(0.5),
        "w2": random.normal(size=(2, 2, 1, 1)).astype(np.float32),
    }
    nodes = [
        ("Cast", ["image"], "a", {"to": TensorProto.FLOAT}),
        ("Mul", ["a", "scale"], "c", {}),
        ("Transpose", ["c"], "d", {"perm": [0, 3, 1, 2]}),
        ("Conv", ["d", "w", "b"], "e", {"pads": [1, 1, 1, 1]}),
        ("LeakyRelu", ["e"], "f", {"alpha": 0.1}),
        ("MaxPool", ["f"], "g", POOL),
        ("LRN", ["g"], "h", {"size": 3, "beta": 0.75}),
        ("AveragePool", ["h"], "m", {"kernel_shape": [2, 2]}),
        ("Mul", ["m", "each"], "n", {}),
        ("ConvTranspose", ["n", "up"], "o", {"strides": [2, 2]}),
        ("Conv", ["o", "w2"], "p", {}),
        ("Mul", ["p", "half"], "q", {}),
        ("Tanh", ["q"], "r", {}),
        ("ReduceMean", ["r"], "s", {"axes": [2, 3]}),
        ("Mul", ["s", "half"], "t", {}),
        ("Mul", ["r", "t"], "u", {}),
        ("Conv", ["u", "w2"], "i", {}),
        ("Unsqueeze", ["i", "axis"], "j", {}),
        ("Tile", ["j", "rows"], "k", {}),
        ("Reshape", ["k", "tall"], "logits", {}),
    ]
    image = {"image": (TensorProto.UINT8, (1, 8, 8, 3))}
    return make_graph(nodes, image, {"logits": float_tensor(1, 2, 12, 6)}, weights)


def draw():
    return {"image": np.random.default_rng(1).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)}


def test_rewrite_for_float32_applies_what_pays_there(model, operators):
    rewritten, applied = rewrite(model, precision="float32")
    assert applied == ("response_normalization", "upsampling", "scalar_factors", "weighted_pool")
    assert not {"LRN", "Tile"} & set(operators(rewritten))


def test_rewrite_for_int8_applies_every_rewrite(model, operators):
    rewritten, applied = rewrite(model, precision="int8")
    assert applied == (
        "global_pool",
        "response_normalization",
        "upsampling",
        "scalar_factors",
        "sunk_factors",
        "weighted_pool",
        "pool_first",
        "pixel_shuffle",
        "pixels",
        "width_folding",
    )
    assert not {"LRN", "Tile", "ConvTranspose", "ReduceMean"} & set(operators(rewritten))
    assert len(pixel_tensors(rewritten)) == 1
    assert len(response_normalization_nodes(rewritten)) == 10


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_rewrite_answers_alike(model, run, largest_difference, precision):
    rewritten, _ = rewrite(model, precision=precision)
    assert largest_difference(run(model, draw()), run(rewritten, draw())) <= 1e-5


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_rewrite_changes_nothing_the_second_time(model, precision):
    once, _ = rewrite(model, precision=precision)
    twice, applied = rewrite(once, precision=precision)
    assert twice is once
    assert applied == ()


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_rewrite_gives_the_same_bytes_every_time_and_leaves_its_argument(model, precision):
    before = model.SerializeToString(deterministic=True)
    first, second = (rewrite(model, precision=precision)[0].SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_rewrite_leaves_a_graph_that_can_be_named(model, run, precision):
    rewritten, _ = rewrite(model, precision=precision)
    answer = run(rewritten, draw())["logits"]
    canonicalise(rewritten, input_names=["image"], output_names=["logits"], batch=1)
    assert all(node.name.startswith("layer/") for node in rewritten.graph.node)
    np.testing.assert_array_equal(run(rewritten, draw())["logits"], answer)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_rewrite_applies_to_a_graph_that_has_its_final_names(model, operators, precision):
    expected = rewrite(model, precision=precision)
    canonicalise(model, input_names=["image"], output_names=["logits"], batch=1)
    rewritten, applied = rewrite(model, precision=precision)
    assert applied == expected[1]
    assert operators(rewritten) == operators(expected[0])


def test_rewrite_drops_weights_that_nothing_reads(model):
    rewritten, _ = rewrite(model, precision="int8")
    read = {name for node in rewritten.graph.node for name in node.input}
    assert {weight.name for weight in rewritten.graph.initializer} <= read


def test_finish_publishes_what_was_rewritten_for_float32(model, tmp_path, run, largest_difference):
    original = onnx.ModelProto()
    original.CopyFrom(model)
    graph = finish(Converted(model), tmp_path / "g.onnx", input_names=["image"], output_names=["logits"], batch=1)
    published = onnx.load(tmp_path / "g.onnx")
    assert {"AveragePool", "Sqrt", "Resize"} <= set(graph.requirements.operators)
    assert not {"LRN", "Tile"} & set(graph.requirements.operators)
    assert largest_difference(run(original, draw()), run(published, draw())) <= 1e-5
