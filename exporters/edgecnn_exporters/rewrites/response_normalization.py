"""LRN as an average pooling over the channels and two square roots."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto

from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.wiring import Wiring, attributes, read_wiring, replace_each

_TAG = "response_normalization"
# from the quotient's divisor up to the squares: operator, which of its inputs leads on, whether it may be missing
_UPWARDS = (
    ("Mul", 1, False),
    ("Sqrt", 0, False),
    ("Sqrt", 0, False),
    ("Add", 0, False),
    ("Mul", 0, True),  # by 1
    ("Squeeze", 0, False),
    ("AveragePool", 0, False),
    ("Unsqueeze", 0, False),
    ("Mul", 0, False),
)


def pool_response_normalization(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with each LRN of beta 0.75 in operators that ONNX Runtime has fast kernels for.

    LRN is x / s^0.75 with s = bias + alpha * mean of x^2 over `size` channels, zeros counted at the ends. The mean is
    an AveragePool along the last axis, and s^0.75 = sqrt(s) * sqrt(sqrt(s)): equal within 1e-6 of the largest value.
    The arithmetic stands between Transposes to (N, H, W, C) and back. ONNX Runtime computes integer layers in that
    order: its own Transposes and these cancel, and a MaxPool behind stays in it.

    Args:
        model: is not changed.

    Returns:
        The model, and whether it has changed.
    """
    return replace_each(model, "LRN", lambda node, wiring: _pooled(node) if _is_covered(node, wiring) else None)


def response_normalization_nodes(model: ModelProto) -> tuple[str, ...]:
    """Returns the names of the nodes between the Transposes that this rewrite made, under any names.

    Squares need more than 8 bits: whoever quantizes leaves these nodes in float.

    Args:
        model: a float graph.
    """
    wiring = read_wiring(model)
    return tuple(
        inner.name for node in model.graph.node if node.op_type == "Div" for inner in _between_transposes(node, wiring)
    )


def _is_covered(node: NodeProto, wiring: Wiring) -> bool:
    """Returns whether s is a positive sum over as many channels to either side of an (N, C, H, W) tensor's channel."""
    values = attributes(node)
    positive = values.get("bias", 1.0) > 0 and values.get("alpha", 1e-4) >= 0
    return (
        positive
        and values["size"] % 2 == 1
        and values.get("beta", 0.75) == 0.75
        and len(wiring.shapes.get(node.input[0], ())) == 4
    )


def _pooled(node: NodeProto) -> tuple[list[NodeProto], Weights]:
    """Returns the nodes in place of one LRN, and their weights."""
    values, size = attributes(node), attributes(node)["size"]
    pooling = {
        "kernel_shape": [1, 1, size],
        "pads": [0, 0, size // 2, 0, 0, size // 2],
        "count_include_pad": 1,
    }
    steps = [
        Step("Transpose", (node.input[0],), "@x", {"perm": [0, 2, 3, 1]}),  # (N, H, W, C)
        Step("Mul", ("@x", "@x"), "@squares"),
        Step("Unsqueeze", ("@squares", "@axis"), "@volume"),  # (N, 1, H, W, C)
        Step("AveragePool", ("@volume",), "@pooled", pooling),
        Step("Squeeze", ("@pooled", "@axis"), "@mean"),  # (N, H, W, C)
        Step("Mul", ("@mean", "@alpha"), "@scaled"),
        Step("Add", ("@scaled", "@bias"), "@sum"),
        Step("Sqrt", ("@sum",), "@root"),
        Step("Sqrt", ("@root",), "@fourth_root"),
        Step("Mul", ("@root", "@fourth_root"), "@power"),
        Step("Div", ("@x", "@power"), "@y"),
        Step("Transpose", ("@y",), node.output[0], {"perm": [0, 3, 1, 2]}),  # (N, C, H, W)
    ]
    weights: Mapping[str, Any] = {
        "axis": np.array([1], np.int64),
        "alpha": np.array(values.get("alpha", 1e-4), np.float32),
        "bias": np.array(values.get("bias", 1.0), np.float32),
    }
    return chain(node, _TAG, steps, weights)


def _between_transposes(quotient: NodeProto, wiring: Wiring) -> list[NodeProto]:
    """Returns the nodes from the squares to a quotient, last first; none where it is no response normalisation."""
    found, tensor = [quotient], quotient.input[1]
    for operator, operand, optional in _UPWARDS:
        maker = wiring.producers.get(tensor)
        if maker is None or maker.op_type != operator:
            if optional:
                continue
            return []
        found.append(maker)
        tensor = maker.input[operand]
    return found if set(found[-1].input) == {quotient.input[0]} else []
