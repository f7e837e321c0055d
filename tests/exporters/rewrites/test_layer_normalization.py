import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecnn_exporters.rewrites.layer_normalization import write_layer_normalization
from edgecnn_exporters.rewrites.wiring import attributes

MAP, ROWS = (2, 5, 4, 3), (2, 6, 7)  # (N, C, H, W), and (N, T, C)
EPSILON = np.float32(1e-3)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(0.5, 1, shape).astype(np.float32)


@pytest.fixture
def make_model(make_graph, float_tensor):
    """TensorFlow's form of a normalisation of x over some axes; `others` stand for single nodes of it."""

    def make(
        shape,
        axes,
        *,
        gamma=None,
        beta=None,
        opset=17,
        pooled=False,
        behind=(),
        outputs=("y",),
        others=None,
        own=None,
        epsilon=EPSILON,
    ):
        weights = {"epsilon": epsilon, "gamma": gamma, "beta": beta, "own": own}
        given = {"axes": np.int64(axes)} if opset > 17 else {}
        options = {"keepdims": 1} | ({} if opset > 17 else {"axes": list(axes)})
        mean = ("GlobalAveragePool", {}) if pooled else ("ReduceMean", options)
        factor, shift = "inverse" if gamma is None else "factor", "moved" if beta is None else "shift"
        nodes = {
            "mean": (mean[0], ["x", *given], mean[1]),
            "same": ("Reshape", ["mean", "own"], {}),
            "difference": ("Sub", ["x", "mean" if own is None else "same"], {}),
            "squares": ("Mul", ["difference", "difference"], {}),
            "variance": (mean[0], ["squares", *given], mean[1]),
            "raised": ("Add", ["variance", "epsilon"], {}),
            "root": ("Sqrt", ["raised"], {}),
            "inverse": ("Reciprocal", ["root"], {}),
            "factor": ("Mul", ["inverse", "gamma"], {}),
            "scaled": ("Mul", ["x", factor], {}),
            "minus": ("Neg", ["mean"], {}),
            "moved": ("Mul", ["minus", factor], {}),
            "shift": ("Add", ["moved", "beta"], {}),
            "y": ("Add", ["scaled", shift], {}),
        }
        nodes |= others or {}
        for name, needed in (("factor", gamma), ("shift", beta), ("same", own)):
            if needed is None:
                nodes.pop(name)
        used = {name: values for name, values in weights.items() if values is not None} | given
        listed = [(operator, read, name, values) for name, (operator, read, values) in nodes.items()]
        rank = max([len(shape), *(np.ndim(one) for one in (gamma, beta, epsilon) if one is not None)])
        made = {name: float_tensor(*(None,) * rank) for name in outputs}
        return make_graph([*listed, *behind], {"x": float_tensor(*shape)}, made, used, opset=opset)

    return make


def expected(x, axes, gamma=1.0, beta=0.0):
    """What the formula gives in float64."""
    x = x.astype(np.float64)
    mean, deviation = x.mean(axes, keepdims=True), np.sqrt(x.var(axes, keepdims=True) + np.float64(EPSILON))
    return (x - mean) / deviation * gamma + beta


CONSTANTS = pytest.mark.parametrize(
    ("gamma", "beta"),
    [(None, None), ("each", None), (None, "each"), ("each", "each"), ("one", "one")],
)


@pytest.mark.parametrize("opset", [17, 18])
@CONSTANTS
@pytest.mark.parametrize(
    ("shape", "axes", "spread"),
    [
        (MAP, (1,), (1, 5, 1, 1)),
        (MAP, (3,), (3,)),
        (MAP, (-1,), (1, 1, 1, 3)),
        (MAP, (3, 1, 2), (5, 4, 3)),
        (MAP, (2, 3), (4, 3)),
        (ROWS, (2,), (1, 1, 7)),
        (ROWS[1:], (1,), (1, 7)),
    ],
)
def test_write_layer_normalization_is_the_formula(make_model, run, operators, shape, axes, spread, gamma, beta, opset):
    sizes = {"each": spread, "one": (1,) * len(spread)}
    constants = [None if one is None else normal(*sizes[one], seed=n) for n, one in enumerate((gamma, beta), start=1)]
    before = make_model(shape, axes, gamma=constants[0], beta=constants[1], opset=opset)
    after, changed = write_layer_normalization(before)
    assert changed
    moved = ["Transpose"] if axes == (1,) and len(shape) == 4 else []
    assert operators(after) == [*moved, "LayerNormalization", *moved]
    x = normal(*shape, seed=3)
    values = [one if one is not None else start for one, start in zip(constants, (1.0, 0.0), strict=True)]
    np.testing.assert_allclose(run(after, {"x": x})["y"], expected(x, axes, *values), atol=3e-6)


def test_write_layer_normalization_takes_the_mean_of_rows_as_a_pool(make_model, run, operators):
    after, changed = write_layer_normalization(make_model(ROWS, (2,), pooled=True, gamma=normal(7)))
    assert changed
    assert operators(after) == ["LayerNormalization"]
    x = normal(*ROWS, seed=3)
    np.testing.assert_allclose(run(after, {"x": x})["y"], expected(x, (2,), normal(7)), atol=3e-6)


def test_write_layer_normalization_ends_in_the_order_that_is_read_next(make_model, run, operators):
    model = make_model(MAP, (1,), behind=[("Transpose", ["y"], "z", {"perm": [0, 2, 3, 1]})], outputs=("z",))
    after, _ = write_layer_normalization(model)
    assert operators(after) == ["Transpose", "LayerNormalization"]
    x = normal(*MAP)
    np.testing.assert_allclose(run(after, {"x": x})["z"], expected(x, (1,)).transpose(0, 2, 3, 1), atol=3e-6)


@pytest.mark.parametrize(
    ("behind", "outputs"),
    [
        ([("Transpose", ["y"], "z", {"perm": [0, 2, 3, 1]})], ("y", "z")),
        ([("Transpose", ["y"], "z", {"perm": [0, 2, 1, 3]})], ("z",)),
        ([], ("mean", "inverse", "y")),
    ],
)
def test_write_layer_normalization_keeps_what_else_is_read(
    make_model, run, largest_difference, operators, behind, outputs
):
    before = make_model(MAP, (1,), behind=behind, outputs=outputs)
    after, _ = write_layer_normalization(before)
    assert "LayerNormalization" in operators(after)
    assert largest_difference(run(before, {"x": normal(*MAP)}), run(after, {"x": normal(*MAP)})) < 2e-6


def test_write_layer_normalization_passes_a_mean_that_is_brought_into_the_shape_it_has(make_model, run, operators):
    after, _ = write_layer_normalization(make_model(MAP, (1,), own=np.int64([2, 1, 4, 3])))
    assert operators(after) == ["Transpose", "LayerNormalization", "Transpose"]
    x = normal(*MAP)
    np.testing.assert_allclose(run(after, {"x": x})["y"], expected(x, (1,)), atol=3e-6)


def test_write_layer_normalization_leaves_a_mean_alone_that_is_brought_into_another_shape(make_model):
    square = (2, 5, 3, 3)
    _, changed = write_layer_normalization(make_model(square, (3,), own=np.int64([2, 5, 1, 3])))
    assert not changed


@pytest.mark.parametrize(
    "others",
    [
        {"variance": ("ReduceMean", ["squares"], {"axes": [1, 2], "keepdims": 1})},
        {"squares": ("Mul", ["difference", "x"], {})},
        {"difference": ("Sub", ["mean", "x"], {}), "squares": ("Mul", ["x", "x"], {})},
        {"difference": ("Add", ["x", "mean"], {})},
        {"minus": ("Neg", ["variance"], {})},
        {"minus": ("Abs", ["mean"], {})},
        {"moved": ("Mul", ["minus", "root"], {})},
        {"inverse": ("Identity", ["root"], {})},
        {"raised": ("Add", ["variance", "variance"], {})},
        {"scaled": ("Mul", ["difference", "inverse"], {})},
    ],
    ids=str,
)
def test_write_layer_normalization_leaves_other_sums_alone(make_model, others):
    model = make_model(MAP, (1,), others=others)
    after, changed = write_layer_normalization(model)
    assert after is model
    assert not changed


@pytest.mark.parametrize(
    ("shape", "axes", "options"),
    [
        (MAP, (2,), {}),
        (MAP, (1, 2), {}),
        (MAP, (1,), {"opset": 16}),
        (MAP, (1,), {"gamma": normal(4, 3)}),  # one a place
        (MAP, (1,), {"beta": normal(1, 5, 4, 3)}),
        (MAP, (3,), {"gamma": normal(1, 5, 1, 1)}),
        ((2, None, 4, 3), (1,), {}),
        ((2, 3, None, None), (2, 3), {"gamma": normal(1), "beta": normal(1, 1)}),
        ((2, 3, None, 4), (2, 3), {"gamma": normal(4)}),
        ((2, 3, 1, 4), (2, 3), {"gamma": normal(4, 1)}),  # which widens
        (MAP, (1,), {"epsilon": np.full((1,) * 5, EPSILON)}),  # which adds an axis
        (MAP, (1,), {"epsilon": np.full(3, EPSILON)}),
        ((5, 5), (1,), {"others": {"mean": ("ReduceMean", ["x"], {"axes": [1], "keepdims": 0})}}),
        ((5, 5), (1,), {"others": {"variance": ("ReduceMean", ["squares"], {"axes": [1], "keepdims": 0})}}),
    ],
    ids=str,
)
def test_write_layer_normalization_leaves_alone_what_the_operator_has_not(make_model, shape, axes, options):
    _, changed = write_layer_normalization(make_model(shape, axes, **options))
    assert not changed


def test_write_layer_normalization_leaves_other_types_and_unknown_ranks_alone(make_model):
    model = make_model(MAP, (1,))
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.elem_type = TensorProto.DOUBLE
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float64(EPSILON), "epsilon"))
    assert not write_layer_normalization(model)[1]
    free = make_model(MAP, (1,))
    del free.graph.input[:]
    free.graph.input.append(helper.make_tensor_value_info("given", TensorProto.FLOAT, MAP))
    free.graph.input.append(helper.make_tensor_value_info("shape", TensorProto.INT64, [None]))
    free.graph.node.insert(0, helper.make_node("Reshape", ["given", "shape"], ["x"], name="layer//x"))
    assert not write_layer_normalization(free)[1]


def test_write_layer_normalization_passes_a_transpose_that_names_no_order(make_model, operators):
    after, _ = write_layer_normalization(make_model(MAP, (1,), behind=[("Transpose", ["y"], "z", {})], outputs=("z",)))
    assert operators(after) == ["Transpose", "LayerNormalization", "Transpose", "Transpose"]


def test_write_layer_normalization_names_the_node_after_its_layer(make_model):
    after, _ = write_layer_normalization(make_model(MAP, (3,)))
    (node,) = after.graph.node
    assert node.name.startswith("layer//")
    assert attributes(node)["epsilon"] == EPSILON
