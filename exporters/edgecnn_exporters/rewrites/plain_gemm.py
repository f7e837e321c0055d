"""Matrix products with factors of their own, as plain ones: x @ kernel + bias, one bias a filter."""

import numpy as np
from onnx import ModelProto, NodeProto

from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.wiring import Wiring, attributes, replace_each

_TAG = "plain_gemm"


def plain_gemm(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with the factors of each Gemm inside its weights, and its bias in the shape (filters,).

    ONNX Runtime's quantizer takes a Gemm's factor of the bias for 1, and fails at a bias of another shape.

    Args:
        model: is not changed.

    Returns:
        The model, and whether it has changed.
    """
    return replace_each(model, "Gemm", _plain)


def _plain(node: NodeProto, wiring: Wiring) -> tuple[list[NodeProto], Weights] | None:
    """Returns what stands in place of a Gemm; None where it is plain already or its weights are no constants."""
    values, kernel, bias = attributes(node), wiring.constant(node, 1), wiring.constant(node, 2)
    if kernel is None or (bias is None and len(node.input) > 2 and node.input[2]):
        return None
    alpha, beta = values.pop("alpha", 1.0), values.pop("beta", 1.0)
    filters = kernel.shape[0 if values.get("transB", 0) else 1]
    if alpha == 1 and (bias is None or (beta == 1 and bias.shape == (filters,))):
        return None
    if bias is not None and bias.shape not in ((), (1,), (filters,), (1, 1), (1, filters)):
        return None
    made: Weights = {"kernel": (kernel * np.float32(alpha)).astype(kernel.dtype)}
    if bias is not None:
        made["bias"] = np.broadcast_to(bias.reshape(-1) * np.float32(beta), (filters,)).astype(bias.dtype)
    step = Step("Gemm", (node.input[0], *(f"@{name}" for name in made)), node.output[0], values)
    return chain(node, _TAG, [step], made)
