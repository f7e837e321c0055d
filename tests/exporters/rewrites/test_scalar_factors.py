import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn_exporters.rewrites.scalar_factors import fold_scalar_factors

MEAN = ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]})
PADDED_MEAN = ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]})
BY_CHANNEL = np.float32([0.5, -2, 1.5, 3]).reshape(1, 4, 1, 1)


@pytest.fixture(scope="module")
def sandwich(make_graph, float_tensor):
    """A convolution to 4 channels of 8x8, steps (operator, attributes, constants), and a convolution or an output.

    Behind "^" an operator reads the constant first.
    """

    def make(*steps, first=None, last=None, bias=True, size=None, extra=(), outputs=None):
        random = np.random.default_rng(0)
        first, last = first or {}, {"group": 1} | (last or {})
        weights = {
            "w": random.normal(size=(4, 4 // first.get("group", 1), 3, 3)).astype(np.float32),
            "w2": random.normal(size=(6, 4 // last["group"], 3, 3)).astype(np.float32),
        }
        weights |= {"b": random.normal(size=4).astype(np.float32)} if bias else {}
        weights |= {"b2": random.normal(size=6).astype(np.float32)} if bias else {}
        nodes, tensor = [("Conv", ["x", "w", *(["b"] if bias else [])], "t", {"pads": [1] * 4} | first)], "t"
        for number, (operator, options, *constants) in enumerate(steps):
            names = [f"c{number}_{index}" for index in range(len(constants))]
            weights |= dict(zip(names, constants, strict=True))
            reads = [*names, tensor] if operator.startswith("^") else [tensor, *names]
            nodes.append((operator.removeprefix("^"), reads, f"t{number}", options))
            tensor = f"t{number}"
        nodes.append(("Conv", [tensor, "w2", *(["b2"] if bias else [])], "y", last))
        made = outputs or {"y": float_tensor(2, 6, *(size or (6, 6)))}
        return make_graph([*nodes, *extra], {"x": float_tensor(2, 4, 8, 8)}, made, weights)

    return make


def draw():
    return {"x": np.random.default_rng(1).normal(size=(2, 4, 8, 8)).astype(np.float32)}


constants = st.one_of(
    st.floats(-3, 3, width=16).filter(lambda number: abs(number) > 0.1).map(np.float32),
    st.just(BY_CHANNEL),
    st.just(BY_CHANNEL[0]),
)
arithmetic = st.tuples(st.sampled_from(["Mul", "^Mul", "Div", "Add", "^Add", "Sub", "^Sub"]), st.just({}), constants)


@settings(deadline=None, max_examples=60)
@given(
    before=st.lists(arithmetic, max_size=3),
    behind=st.lists(arithmetic, max_size=3),
    squashed=st.booleans(),
    group=st.sampled_from([1, 2]),
    bias=st.booleans(),
)
def test_fold_scalar_factors_answers_alike(
    sandwich, run, operators, largest_difference, before, behind, squashed, group, bias
):
    activation = [("Sigmoid", {})] if squashed else []
    model = sandwich(*before, *activation, *behind, first={"group": group}, last={"group": group}, bias=bias)
    folded, changed = fold_scalar_factors(model)
    assert changed == bool(before or behind)
    assert operators(folded) == ["Conv", *(operator for operator, _ in activation), "Conv"]
    assert largest_difference(run(model, draw()), run(folded, draw())) <= 2e-6


@pytest.mark.parametrize("mean", [MEAN, PADDED_MEAN, ("AveragePool", MEAN[1] | {"ceil_mode": 1})])
def test_fold_scalar_factors_reaches_through_a_mean(sandwich, run, operators, largest_difference, mean):
    size = (6, 6) if mean is PADDED_MEAN else (2, 2)
    scaled = [("Mul", {}, BY_CHANNEL), mean, ("Add", {}, np.float32(3)), ("Div", {}, np.float32(0.7))]
    for steps in (scaled, [("Sigmoid", {}), *scaled]):
        model = sandwich(*steps, size=size)
        folded, changed = fold_scalar_factors(model)
        assert changed
        assert not {"Mul", "Add", "Div"} & set(operators(folded))
        assert largest_difference(run(model, draw()), run(folded, draw())) <= 2e-6


def test_fold_scalar_factors_stops_at_a_mean_that_counts_padding(sandwich):
    mean = ("AveragePool", PADDED_MEAN[1] | {"count_include_pad": 1})
    model = sandwich(mean, ("Add", {}, np.float32(1)), last={"pads": [1] * 4}, size=(8, 8))
    left, changed = fold_scalar_factors(model)
    assert left is model
    assert not changed


def test_fold_scalar_factors_keeps_an_offset_before_padding(sandwich, run, operators, largest_difference):
    steps = [("Sigmoid", {}), ("Mul", {}, np.float32(2)), ("Sub", {}, np.float32(1)), ("Mul", {}, BY_CHANNEL)]
    model = sandwich(*steps, last={"pads": [1] * 4}, size=(8, 8))
    folded, changed = fold_scalar_factors(model)
    assert changed
    assert operators(folded) == ["Conv", "Sigmoid", "Mul", "Add", "Conv"]
    assert largest_difference(run(model, draw()), run(folded, draw())) <= 2e-6
    assert fold_scalar_factors(folded) == (folded, False)


def test_fold_scalar_factors_takes_a_factor_before_padding(sandwich, run, operators, largest_difference):
    model = sandwich(("Sigmoid", {}), ("Mul", {}, BY_CHANNEL), last={"auto_pad": "SAME_UPPER"}, size=(8, 8))
    folded, changed = fold_scalar_factors(model)
    assert changed
    assert operators(folded) == ["Conv", "Sigmoid", "Conv"]
    assert largest_difference(run(model, draw()), run(folded, draw())) <= 2e-6


def test_fold_scalar_factors_merges_what_no_layer_takes(sandwich, run, operators, largest_difference):
    steps = [("Mul", {}, np.float32(2)), MEAN, ("Mul", {}, BY_CHANNEL), ("Add", {}, BY_CHANNEL)]
    model = sandwich(("Tanh", {}), *steps, ("Mul", {}, np.float32(0.5)), ("Tanh", {}), size=(2, 2))
    folded, changed = fold_scalar_factors(model)
    assert changed
    assert operators(folded) == ["Conv", "Tanh", "AveragePool", "Mul", "Add", "Tanh", "Conv"]
    assert largest_difference(run(model, draw()), run(folded, draw())) <= 2e-6


def test_fold_scalar_factors_drops_what_comes_to_nothing(sandwich, run, operators):
    model = sandwich(("Tanh", {}), ("Mul", {}, np.float32(2)), ("Mul", {}, np.float32(0.5)), ("Tanh", {}))
    folded, changed = fold_scalar_factors(model)
    assert changed
    assert operators(folded) == ["Conv", "Tanh", "Tanh", "Conv"]
    np.testing.assert_array_equal(run(model, draw())["y"], run(folded, draw())["y"])


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(("^Div", {}, np.float32(2)), id="number by values"),
        pytest.param(("Div", {}, np.float32(0)), id="by zero"),
        pytest.param(("Mul", {}, np.ones((8, 1), np.float32)), id="one number a row"),
        pytest.param(("Mul", {}, np.ones((2, 1, 1, 1), np.float32)), id="one number an image"),
        pytest.param(("Pow", {}, np.float32(2)), id="power"),
    ],
)
def test_fold_scalar_factors_leaves_other_arithmetic_alone(sandwich, step):
    assert not fold_scalar_factors(sandwich(step))[1]


def test_fold_scalar_factors_leaves_a_constant_that_widens_alone(make_graph, float_tensor):
    weights = {"w": np.ones((1, 1, 1, 1), np.float32), "c": np.ones((1, 3, 1, 1), np.float32)}
    nodes = [("Conv", ["x", "w"], "a", {}), ("Mul", ["a", "c"], "b", {}), ("Neg", ["b"], "y", {})]
    model = make_graph(nodes, {"x": float_tensor(1, 1, 2, 2)}, {"y": float_tensor(1, 3, 2, 2)}, weights)
    assert not fold_scalar_factors(model)[1]


def test_fold_scalar_factors_leaves_a_layer_that_others_read_alone(sandwich, float_tensor):
    outputs = {"y": float_tensor(2, 6, 6, 6), "z": float_tensor(2, 4, 8, 8)}
    steps = [("Add", {}, BY_CHANNEL), ("Tanh", {})]
    assert not fold_scalar_factors(sandwich(*steps, extra=[("Neg", ["t"], "z", {})], outputs=outputs))[1]


def test_fold_scalar_factors_leaves_an_output_alone(sandwich, float_tensor):
    outputs = {"y": float_tensor(2, 6, 6, 6), "t0": float_tensor(2, 4, 8, 8)}
    assert not fold_scalar_factors(sandwich(("Add", {}, BY_CHANNEL), outputs=outputs))[1]


def test_fold_scalar_factors_serves_all_readers_of_what_is_gone(
    sandwich, run, operators, float_tensor, largest_difference
):
    outputs = {"y": float_tensor(2, 6, 6, 6), "z": float_tensor(2, 4, 8, 8)}
    model = sandwich(("Mul", {}, BY_CHANNEL), extra=[("Neg", ["t0"], "z", {})], outputs=outputs)
    folded, changed = fold_scalar_factors(model)
    assert changed
    assert operators(folded) == ["Conv", "Conv", "Neg"]
    assert largest_difference(run(model, draw()), run(folded, draw())) <= 2e-6


def test_fold_scalar_factors_leaves_the_normalization_alone(make_graph, float_tensor):
    weights = {"w": np.ones((1, 3, 1, 1), np.float32), "c": np.float32(2)}
    nodes = [("Mul", ["x", "c"], "a", {}), ("Conv", ["a", "w"], "y", {})]
    model = make_graph(nodes, {"x": float_tensor(1, 3, 2, 2)}, {"y": float_tensor(1, 1, 2, 2)}, weights)
    assert not fold_scalar_factors(model)[1]


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("bias", [(), (1,), (5,), (1, 5), None])
def test_fold_scalar_factors_reaches_a_product_behind_a_reshape(
    make_graph, run, operators, float_tensor, largest_difference, turned, bias
):
    random = np.random.default_rng(0)
    kernel = random.normal(size=(8, 5)).astype(np.float32)
    weights = {
        "w": random.normal(size=(2, 3, 1, 1)).astype(np.float32),
        "two": np.float32(2),
        "shape": np.int64([0, 8]),
        "k": np.ascontiguousarray(kernel.T) if turned else kernel,
        "each": random.normal(size=5).astype(np.float32),
    } | ({} if bias is None else {"b": random.normal(size=bias).astype(np.float32)})
    nodes = [
        ("Conv", ["x", "w"], "a", {}),
        ("Tanh", ["a"], "b0", {}),
        ("Add", ["b0", "two"], "c", {}),
        ("Reshape", ["c", "shape"], "d", {}),
        ("Div", ["d", "two"], "e", {}),
        ("Gemm", ["e", "k", *([] if bias is None else ["b"])], "f", {"transB": turned}),
        ("Mul", ["f", "each"], "g", {}),
        ("Tanh", ["g"], "y", {}),
    ]
    model = make_graph(nodes, {"x": float_tensor("batch", 3, 2, 2)}, {"y": float_tensor("batch", 5)}, weights)
    folded, changed = fold_scalar_factors(model)
    assert changed
    assert operators(folded) == ["Conv", "Tanh", "Reshape", "Gemm", "Tanh"]
    for images in (1, 3):
        feeds = {"x": random.normal(size=(images, 3, 2, 2)).astype(np.float32)}
        assert largest_difference(run(model, feeds), run(folded, feeds)) <= 2e-6


@pytest.mark.parametrize("options", [{"alpha": 2.0}, {"beta": 0.5}, {"transA": 1}])
def test_fold_scalar_factors_leaves_a_product_with_factors_of_its_own_alone(make_graph, float_tensor, options):
    weights = {"k": np.ones((3, 3), np.float32), "b": np.ones(3, np.float32), "c": np.float32(3)}
    nodes = [("Gemm", ["x", "k", "b"], "a", options), ("Mul", ["a", "c"], "b0", {}), ("Tanh", ["b0"], "y", {})]
    model = make_graph(nodes, {"x": float_tensor(3, 3)}, {"y": float_tensor(3, 3)}, weights)
    assert not fold_scalar_factors(model)[1]


def test_fold_scalar_factors_leaves_a_shared_kernel_as_it_is(make_graph, run, float_tensor, largest_difference):
    random = np.random.default_rng(0)
    weights = {"w": random.normal(size=(2, 2, 1, 1)).astype(np.float32), "c": np.float32(3)}
    nodes = [
        ("Conv", ["x", "w"], "a", {}),
        ("Mul", ["a", "c"], "b", {}),
        ("Tanh", ["b"], "d", {}),
        ("Conv", ["d", "w"], "y", {}),
    ]
    shape = float_tensor(1, 2, 3, 3)
    model = make_graph(nodes, {"x": shape}, {"y": shape}, weights)
    folded, changed = fold_scalar_factors(model)
    assert changed
    feeds = {"x": random.normal(size=(1, 2, 3, 3)).astype(np.float32)}
    assert largest_difference(run(model, feeds), run(folded, feeds)) <= 2e-6
