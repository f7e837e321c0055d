import numpy as np
import pytest
from onnx import TensorProto

from edgecnn_exporters.rewrites.normalization import read_normalization
from edgecnn_exporters.rewrites.wiring import read_wiring

TO_FLOAT = ("Cast", {"to": TensorProto.FLOAT})
FIRST = ("Transpose", {"perm": [0, 3, 1, 2]})


@pytest.fixture(scope="module")
def normalization_of(make_graph, float_tensor):
    """Reads the steps, each (operator, attributes, constant), between an image of 2x3 pixels and a convolution."""

    def read(*steps, channels=3, kind=TensorProto.UINT8, size=(2, 3), extra=(), outputs=None):
        nodes, weights, tensor = [], {"w": np.ones((1, channels, 1, 1), np.float32)}, "image"
        for number, (operator, options, *constants) in enumerate(steps):
            names = [f"c{number}_{index}" for index in range(len(constants))]
            weights |= dict(zip(names, constants, strict=True))
            nodes.append((operator, [tensor, *names], f"t{number}", options))
            tensor = f"t{number}"
        nodes.append(("Conv", [tensor, "w"], "y", {}))
        made = outputs or {"y": float_tensor(1, 1, *size)}
        model = make_graph([*nodes, *extra], {"image": (kind, (1, 2, 3, channels))}, made, weights)
        wiring = read_wiring(model)
        return read_normalization(wiring.producers["y"], wiring)

    return read


def test_read_normalization_multiplies_and_adds(normalization_of):
    found = normalization_of(TO_FLOAT, ("Mul", {}, np.float32(0.5)), ("Add", {}, np.float32([1, 2, 3])), FIRST)
    np.testing.assert_array_equal(found.order, [0, 1, 2])
    np.testing.assert_array_equal(found.scale, [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(found.offset, [1, 2, 3])
    assert (found.image, found.padding) == ("image", (0, 0, 0, 0))


def test_read_normalization_subtracts_and_divides(normalization_of):
    found = normalization_of(TO_FLOAT, ("Sub", {}, np.float32([1, 2, 3])), ("Div", {}, np.float32([2, 4, 8])), FIRST)
    np.testing.assert_array_equal(found.scale, [0.5, 0.25, 0.125])
    np.testing.assert_array_equal(found.offset, [-0.5, -0.5, -0.375])


def test_read_normalization_reorders_channels_with_what_was_done_to_them(normalization_of):
    mean = ("Sub", {}, np.float32([1, 2, 3]))
    reverse = ("Gather", {"axis": -1}, np.int64([2, 1, 0]))
    before, after = normalization_of(TO_FLOAT, mean, reverse, FIRST), normalization_of(reverse, TO_FLOAT, mean, FIRST)
    np.testing.assert_array_equal(before.order, [2, 1, 0])
    np.testing.assert_array_equal(before.offset, [-3, -2, -1])
    np.testing.assert_array_equal(after.order, [2, 1, 0])
    np.testing.assert_array_equal(after.offset, [-1, -2, -3])


def test_read_normalization_takes_a_reshape_of_one_channel(normalization_of):
    found = normalization_of(TO_FLOAT, ("Reshape", {}, np.int64([1, 1, 2, 3])), channels=1)
    np.testing.assert_array_equal(found.scale, [1])


def test_read_normalization_counts_black_pixels_round_the_image(normalization_of):
    pad = ("Pad", {}, np.int64([0, 1, 2, 0, 0, 3, 4, 0]))
    back = ("Cast", {"to": TensorProto.UINT8})
    found = normalization_of(TO_FLOAT, pad, back, TO_FLOAT, ("Add", {}, np.float32(1)), FIRST, size=(6, 9))
    assert found.padding == (1, 2, 3, 4)
    np.testing.assert_array_equal(found.offset, [1, 1, 1])


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([("Add", {}, np.float32(1)), ("Pad", {}, np.int64([0, 1, 1, 0, 0, 0, 0, 0]))], id="pad after add"),
        pytest.param([("Pad", {"mode": "edge"}, np.int64([0, 1, 1, 0, 0, 0, 0, 0]))], id="pad with the edge"),
        pytest.param([("Pad", {}, np.int64([0, 1, 1, 0, 0, 0, 0, 0]), np.float32(3))], id="pad with a number"),
        pytest.param([("Pow", {}, np.float32(2))], id="power"),
        pytest.param([("Mul", {}, np.ones((2, 3, 1), np.float32))], id="one number a pixel"),
        pytest.param([("Sqrt", {})], id="function"),
        pytest.param([("Cast", {"to": TensorProto.INT8}), TO_FLOAT], id="cast that wraps"),
        pytest.param([("Gather", {"axis": 1}, np.int64([1, 0]))], id="rows in another order"),
        pytest.param([("Gather", {"axis": 3}, np.int64([0, 0, 1]))], id="a channel twice"),
    ],
)
def test_read_normalization_refuses_what_is_no_function_of_one_pixel(normalization_of, steps):
    padded = any(operator == "Pad" for operator, *_ in steps)
    assert normalization_of(TO_FLOAT, *steps, FIRST, size=(3, 4) if padded else (2, 3)) is None


def test_read_normalization_refuses_floats(normalization_of):
    assert normalization_of(("Mul", {}, np.float32(2)), FIRST, kind=TensorProto.FLOAT) is None


def test_read_normalization_refuses_an_image_whose_height_became_channels(normalization_of):
    assert normalization_of(TO_FLOAT, ("Transpose", {"perm": [0, 3, 2, 1]}), size=(3, 2)) is None


def test_read_normalization_refuses_a_tensor_that_others_read(normalization_of, float_tensor):
    extra = [("Neg", ["t1"], "z", {})]
    outputs = {"y": float_tensor(1, 1, 2, 3), "z": float_tensor(1, 2, 3, 3)}
    assert normalization_of(TO_FLOAT, ("Mul", {}, np.float32(2)), FIRST, extra=extra, outputs=outputs) is None


def test_read_normalization_refuses_a_number_less_pixels(make_graph, float_tensor):
    nodes = [
        ("Cast", ["image"], "a", TO_FLOAT[1]),
        ("Sub", ["one", "a"], "b", {}),
        ("Transpose", ["b"], "c", FIRST[1]),
        ("Conv", ["c", "w"], "y", {}),
    ]
    weights = {"one": np.float32(1), "w": np.ones((1, 3, 1, 1), np.float32)}
    image = {"image": (TensorProto.UINT8, (1, 2, 3, 3))}
    wiring = read_wiring(make_graph(nodes, image, {"y": float_tensor(1, 1, 2, 3)}, weights))
    assert read_normalization(wiring.producers["y"], wiring) is None
