"""The Gaussian error linear unit in the form that ONNX Runtime computes as one operator.

Reference:
    Hendrycks and Gimpel 2016, "Gaussian error linear units (GELUs)".
"""

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto

from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.wiring import Wiring, replace_each

_TAG = "gelu"
_ROOT = 2**0.5
_CLOSE = 1e-6  # of the roots as float32 holds them


def write_gelu(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with x / 2 * (1 + erf(x / sqrt(2))) where x / 2 * (1 - erf(-x / sqrt(2))) was.

    The second is TensorFlow's, by erfc. ONNX has the operator from opset 20 on only; ONNX Runtime finds the first form
    in the graph and computes it at once.

    Args:
        model: is not changed.

    Returns:
        The model, and whether it has changed.
    """
    return replace_each(model, "Mul", _written)


def _written(node: NodeProto, wiring: Wiring) -> tuple[list[NodeProto], Weights] | None:
    """Returns what stands in place of a GELU's last product, and its weights; None where it is another product."""
    for halved, complement in (node.input, reversed(node.input)):
        source = _times(halved, 0.5, wiring)
        if source and source == _of_complement(complement, wiring) and wiring.types.get(source) == TensorProto.FLOAT:
            steps = [
                Step("Div", (source, "@root"), "@scaled"),
                Step("Erf", ("@scaled",), "@erf"),
                Step("Add", ("@erf", "@one"), "@sum"),
                Step("Mul", (source, "@half"), "@halved"),
                Step("Mul", ("@halved", "@sum"), node.output[0]),
            ]
            constants = {"root": _ROOT, "one": 1.0, "half": 0.5}
            return chain(node, _TAG, steps, {name: np.array(one, np.float32) for name, one in constants.items()})
    return None


def _of_complement(tensor: str, wiring: Wiring) -> str:
    """Returns x where a tensor is 1 - erf(-x / sqrt(2)); "" where it is another one."""
    taken = wiring.producers.get(tensor)
    if taken is None or taken.op_type != "Sub" or not _is_number(taken, 0, 1.0, wiring):
        return ""
    curve = wiring.producers.get(taken.input[1])
    if curve is None or curve.op_type != "Erf":
        return ""
    minus = wiring.producers.get(_times(curve.input[0], 1 / _ROOT, wiring))
    return minus.input[0] if minus is not None and minus.op_type == "Neg" else ""


def _times(tensor: str, number: float, wiring: Wiring) -> str:
    """Returns what a tensor is a multiple of, by a number; "" where it is not."""
    product = wiring.producers.get(tensor)
    if product is None or product.op_type != "Mul":
        return ""
    return next((product.input[1 - index] for index in (0, 1) if _is_number(product, index, number, wiring)), "")


def _is_number(node: NodeProto, index: int, number: float, wiring: Wiring) -> bool:
    """Returns whether an input of a node is a constant of one value that is a number, and adds no axes."""
    constant, rank = wiring.constant(node, index), len(wiring.shapes.get(node.input[1 - index], ()))
    if constant is None or constant.size != 1 or constant.ndim > rank:
        return False
    return abs(float(constant.reshape(-1)[0]) - number) < _CLOSE
