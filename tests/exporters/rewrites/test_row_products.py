import numpy as np
import pytest

from edgecnn_exporters.rewrites.row_products import constants_beside_products
from edgecnn_exporters.rewrites.scalar_factors import fold_scalar_factors

ROWS, FEATURES, FILTERS = 6, 4, 3


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def make_model(make_graph, float_tensor):
    """x @ kernel, in rows, then in another shape, and what comes behind: (operator, constant) each."""

    def make(behind, *, shape=(1, 2, 3, FILTERS), features=FEATURES, outputs=("y",), kernel=True):
        weights = {"shape": np.int64(shape)} | ({"kernel": normal(features, FILTERS)} if kernel else {})
        nodes = [("MatMul", ["x", "kernel"], "product", {}), ("Reshape", ["product", "shape"], "map", {})]
        last = "map"
        for number, (operator, constant) in enumerate(behind):
            weights[f"c{number}"] = constant
            made = "y" if number == len(behind) - 1 else f"t{number}"
            nodes.append((operator, [last, f"c{number}"] if number % 2 == 0 else [f"c{number}", last], made, {}))
            last = made
        inputs = {"x": float_tensor(ROWS, features)} | ({} if kernel else {"kernel": float_tensor(features, FILTERS)})
        made = {name: float_tensor(*(None,) * (2 if name == "product" else len(shape))) for name in outputs}
        return make_graph(nodes, inputs, made, weights)

    return make


@pytest.mark.parametrize(
    "behind",
    [
        [("Add", normal(FILTERS))],
        [("Add", normal(1, 1, 1, FILTERS))],
        [("Mul", np.float32(0.5))],
        [("Add", normal(FILTERS)), ("Mul", normal(1, FILTERS, seed=1))],
        [("Mul", normal(FILTERS)), ("Add", normal(1, seed=1)), ("Mul", normal(FILTERS, seed=2))],
    ],
    ids=lambda behind: "".join(operator for operator, _ in behind),
)
def test_constants_beside_products_go_into_the_product(make_model, run, largest_difference, operators, behind):
    before = make_model(behind)
    beside, changed = constants_beside_products(before)
    assert changed
    assert operators(beside) == ["Gemm", *(operator for operator, _ in behind), "Reshape"]
    after, _ = fold_scalar_factors(beside)
    assert operators(after) == ["Gemm", "Reshape"]
    for model in (beside, after):
        assert (
            largest_difference(run(before, {"x": normal(ROWS, FEATURES)}), run(model, {"x": normal(ROWS, FEATURES)}))
            < 2e-6
        )


def test_constants_beside_products_keep_the_layers_they_are_of(make_model):
    after, _ = constants_beside_products(make_model([("Add", normal(FILTERS)), ("Mul", normal(FILTERS))]))
    layers = [node.name.split("/row_products")[0] for node in after.graph.node]
    assert layers == ["layer//0", "layer//2", "layer//3", "layer//3"]


def test_constants_beside_products_end_before_what_is_no_constant_a_filter(
    make_model, run, largest_difference, operators
):
    before = make_model([("Add", normal(FILTERS)), ("Add", normal(2, 3, FILTERS))])
    after, _ = constants_beside_products(before)
    assert operators(after) == ["Gemm", "Add", "Reshape", "Add"]
    assert (
        largest_difference(run(before, {"x": normal(ROWS, FEATURES)}), run(after, {"x": normal(ROWS, FEATURES)})) < 2e-6
    )


@pytest.mark.parametrize(
    ("behind", "options"),
    [
        ([("Add", normal(3, 1))], {}),  # one a column of the map, of as many as there are filters
        ([("Add", normal(2, 3, FILTERS))], {}),
        ([("Sub", normal(FILTERS))], {}),
        ([("Add", normal(FILTERS))], {"shape": (ROWS, FILTERS, 1)}),  # widens the map
        ([("Add", normal(FILTERS))], {"outputs": ("y", "product")}),
        ([("Add", normal(FILTERS))], {"outputs": ("y", "map")}),
        ([("Add", normal(FILTERS))], {"kernel": False}),
    ],
    ids=str,
)
def test_constants_beside_products_leave_others_alone(make_model, behind, options):
    model = make_model(behind, **options)
    after, changed = constants_beside_products(model)
    assert after is model
    assert not changed


def test_layers_that_share_a_kernel_go_on_sharing_it(make_graph, float_tensor):
    weights = {
        "kernel": normal(FEATURES, FEATURES),
        "shape": np.int64([1, 2, 3, FEATURES]),
        "rows": np.int64([-1, FEATURES]),
    }
    nodes, last = [], "x"
    for number in range(3):
        weights[f"bias{number}"] = normal(FEATURES, seed=number)
        nodes += [
            ("MatMul", [last, "kernel"], f"product{number}", {}),
            ("Reshape", [f"product{number}", "shape"], f"map{number}", {}),
            ("Add", [f"map{number}", f"bias{number}"], f"y{number}", {}),
            ("Reshape", [f"y{number}", "rows"], f"r{number}", {}),
        ]
        last = f"r{number}"
    model = make_graph(nodes, {"x": float_tensor(ROWS, FEATURES)}, {last: float_tensor(None, FEATURES)}, weights)
    after, _ = fold_scalar_factors(constants_beside_products(model)[0])
    assert [tuple(weight.dims) for weight in after.graph.initializer if len(weight.dims) == 2] == [(FEATURES, FEATURES)]
