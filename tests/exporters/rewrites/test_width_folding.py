import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from edgecnn_exporters.rewrites.width_folding import fold_width

FOLDED = ["Reshape", "Transpose", "Cast", "Conv", "Relu", "Transpose", "Reshape", "Transpose"]


@pytest.fixture(scope="module")
def first(make_graph, float_tensor):
    """Raw pixels, a convolution and what follows it."""

    def make(*, size=(6, 8), channels=3, kernel=(3, 3), filters=2, batch=1, bias=True, then=("Relu", {}), **options):
        random = np.random.default_rng(0)
        strides, pads = options.get("strides", [1, 1]), options.get("pads", [0] * 4)
        dilations, group = options.get("dilations", [1, 1]), options.get("group", 1)
        spread = [(kernel[a] - 1) * dilations[a] + 1 for a in (0, 1)]
        made = [(size[a] + pads[a] + pads[a + 2] - spread[a]) // strides[a] + 1 for a in (0, 1)]
        weights = {"w": random.normal(size=(filters, channels // group, *kernel)).astype(np.float32)}
        weights |= {"b": random.normal(size=filters).astype(np.float32)} if bias else {}
        nodes = [
            ("Transpose", ["image"], "a", {"perm": [0, 3, 1, 2]}),
            ("Cast", ["a"], "pixels", {"to": TensorProto.FLOAT}),
            ("Conv", ["pixels", *weights], "c" if then else "y", options),
            *([(then[0], ["c"], "y", then[1])] if then else []),
        ]
        image = {"image": (TensorProto.UINT8, (batch, *size, channels))}
        return make_graph(nodes, image, {"y": float_tensor(batch, filters, *made)}, weights)

    return make


def draw(size=(6, 8), channels=3, images=1):
    return {"image": np.random.default_rng(1).integers(0, 256, (images, *size, channels), dtype=np.uint8)}


def test_fold_width_convolves_groups_of_four_columns(first, operators):
    model, changed = fold_width(first(size=(6, 10)))
    assert changed
    assert operators(model) == ["Pad", *FOLDED]
    (kernel,) = (weight for weight in model.graph.initializer if len(weight.dims) == 4)
    assert list(kernel.dims) == [4 * 2, 4 * 3, 3, 2]


@settings(deadline=None, max_examples=100)
@given(
    size=st.tuples(st.integers(5, 8), st.integers(5, 19)),
    channels=st.integers(1, 4),
    kernel=st.tuples(st.integers(1, 3), st.integers(2, 5)),
    strides=st.tuples(st.integers(1, 2), st.sampled_from([1, 2, 4])),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    bias=st.booleans(),
    then=st.sampled_from([("Relu", {}), ("LeakyRelu", {"alpha": 0.3}), ("Neg", {}), None]),
)
def test_fold_width_answers_alike(first, run, largest_difference, size, channels, kernel, strides, pads, bias, then):
    model = first(
        size=size, channels=channels, kernel=kernel, strides=list(strides), pads=list(pads), bias=bias, then=then
    )
    folded, changed = fold_width(model)
    assume(changed)
    feeds = draw(size, channels)
    assert largest_difference(run(model, feeds), run(folded, feeds)) <= 2e-6


@pytest.mark.parametrize("batch", [3, "batch"])
def test_fold_width_works_for_several_images(first, run, largest_difference, batch):
    model = first(batch=batch, pads=[1, 1, 1, 1])
    folded, changed = fold_width(model)
    assert changed
    assert largest_difference(run(model, draw(images=3)), run(folded, draw(images=3))) <= 2e-6


def test_fold_width_keeps_the_activation_next_to_the_convolution(first, operators):
    folded, _ = fold_width(first(then=("LeakyRelu", {"alpha": 0.1})))
    names = operators(folded)
    assert names[names.index("Conv") + 1] == "LeakyRelu"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"size": (6, 9)}, id="seven columns"),
        pytest.param({"strides": [1, 3], "size": (6, 12)}, id="stride 3"),
        pytest.param({"dilations": [1, 2]}, id="dilation"),
        pytest.param({"group": 3, "filters": 3}, id="groups"),
        pytest.param({"channels": 5}, id="many channels"),
        pytest.param({"kernel": (3, 1)}, id="one column"),
        pytest.param({"kernel": (3, 11), "size": (6, 14)}, id="a long row"),
    ],
)
def test_fold_width_leaves_other_convolutions_alone(first, options):
    model = first(**options)
    left, changed = fold_width(model)
    assert left is model
    assert not changed


def test_fold_width_leaves_pixels_that_others_read_alone(make_graph, float_tensor):
    nodes = [
        ("Transpose", ["image"], "a", {"perm": [0, 3, 1, 2]}),
        ("Cast", ["a"], "pixels", {"to": TensorProto.FLOAT}),
        ("Conv", ["pixels", "w"], "y", {}),
        ("Neg", ["pixels"], "z", {}),
    ]
    outputs = {"y": float_tensor(1, 1, 4, 8), "z": float_tensor(1, 1, 6, 10)}
    image = {"image": (TensorProto.UINT8, (1, 6, 10, 1))}
    model = make_graph(nodes, image, outputs, {"w": np.ones((1, 1, 3, 3), np.float32)})
    assert not fold_width(model)[1]


def test_fold_width_leaves_floats_alone(make_graph, float_tensor):
    nodes = [("Transpose", ["x"], "a", {"perm": [0, 3, 1, 2]}), ("Conv", ["a", "w"], "y", {})]
    weights = {"w": np.ones((1, 1, 3, 3), np.float32)}
    model = make_graph(nodes, {"x": float_tensor(1, 6, 10, 1)}, {"y": float_tensor(1, 1, 4, 8)}, weights)
    assert not fold_width(model)[1]
