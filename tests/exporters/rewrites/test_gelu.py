import math

import numpy as np
import onnx
import pytest
from onnxruntime import InferenceSession, SessionOptions

from edgecnn_exporters.rewrites.gelu import write_gelu

X = np.linspace(-6, 6, 60, dtype=np.float32).reshape(1, 3, 4, 5)


@pytest.fixture
def make_model(make_graph, float_tensor):
    """TensorFlow's form of x / 2 * erfc(-x / sqrt(2)); `others` stand for single nodes of it."""

    def make(*, half=0.5, root=2**-0.5, one=1.0, others=None):
        constants = {"half": half, "root": root, "one": one}
        nodes = {
            "minus": ("Neg", ["x"]),
            "halved": ("Mul", ["half", "x"]),
            "scaled": ("Mul", ["minus", "root"]),
            "erf": ("Erf", ["scaled"]),
            "erfc": ("Sub", ["one", "erf"]),
            "y": ("Mul", ["halved", "erfc"]),
        } | (others or {})
        listed = [(operator, read, name, {}) for name, (operator, read) in nodes.items()]
        read = {name for _, names, _, _ in listed for name in names}
        weights = {name: np.atleast_2d(np.float32(value)) for name, value in constants.items() if name in read}
        return make_graph(
            listed, {"x": float_tensor(*X.shape)}, {"y": float_tensor(*(None,) * (4 + (np.ndim(one) > 4)))}, weights
        )

    return make


def expected():
    """Of the mathematics, in float64."""
    return np.vectorize(lambda x: x / 2 * (1 + math.erf(x / 2**0.5)))(X.astype(np.float64))


def test_write_gelu_answers_as_the_formula(make_model, run):
    after, changed = write_gelu(make_model())
    assert changed
    np.testing.assert_allclose(run(after, {"x": X})["y"], expected(), atol=1e-6)


def test_write_gelu_writes_what_onnx_runtime_computes_at_once(make_model, tmp_path):
    def fused(model):
        options = SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 3
        InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]

    before = make_model()
    assert "Gelu" not in fused(before)
    assert fused(write_gelu(before)[0]) == ["Gelu"]


def test_write_gelu_takes_factors_in_either_order(make_model, run):
    others = {"halved": ("Mul", ["x", "half"]), "scaled": ("Mul", ["root", "minus"]), "y": ("Mul", ["erfc", "halved"])}
    after, changed = write_gelu(make_model(others=others))
    assert changed
    np.testing.assert_allclose(run(after, {"x": X})["y"], expected(), atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"half": 0.6},
        {"root": 0.7},
        {"one": 2.0},
        {"half": [0.5, 0.5, 0.5, 0.5, 0.5]},
        {"root": [2**-0.5] * 5},
        {"one": [[[[[1.0]]]]]},  # which adds an axis
        {"others": {"minus": ("Abs", ["x"])}},
        {"others": {"halved": ("Mul", ["half", "minus"])}},
        {"others": {"scaled": ("Mul", ["x", "root"])}},
        {"others": {"erf": ("Tanh", ["scaled"])}},
        {"others": {"erfc": ("Sub", ["erf", "one"])}},
        {"others": {"erfc": ("Add", ["one", "erf"])}},
        {"others": {"halved": ("Add", ["half", "x"])}},
    ],
    ids=str,
)
def test_write_gelu_leaves_other_products_alone(make_model, options):
    model = make_model(**options)
    after, changed = write_gelu(model)
    assert after is model
    assert not changed
