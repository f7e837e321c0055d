"""Dense layers on maps and sequences as rows of products, with their constants beside the product."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto

from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.wiring import Wiring, attributes, read_wiring, replace

_TAG = "row_products"
_ARITHMETIC = frozenset({"Add", "Mul"})


def constants_beside_products(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with Gemm, constants, Reshape where MatMul, Reshape, constants were.

    TensorFlow lays out what a Dense layer reads as rows, multiplies them, restores the axes and adds the bias there.
    Beside a Gemm it goes into the Gemm, as does a factor a filter behind it: `fold_scalar_factors` does that.

    Args:
        model: is not changed.

    Returns:
        The model, and whether it has changed.
    """
    wiring = read_wiring(model)
    nodes: dict[str, list[NodeProto]] = {}
    weights: Weights = {}
    for node in model.graph.node:
        kernel = wiring.constant(node, 1) if node.op_type == "MatMul" else None
        reshape = None if kernel is None else wiring.only_consumer(node.output[0])
        if kernel is None or reshape is None or reshape.op_type != "Reshape":
            continue
        if kernel.dtype != np.float32 or kernel.ndim != 2 or len(wiring.shapes.get(node.input[0], ())) != 2:
            continue
        run = list(_arithmetic_behind(reshape, kernel.shape[1], wiring))
        if run:
            nodes[node.output[0]], _ = chain(node, _TAG, [Step("Gemm", tuple(node.input), node.output[0])], {})
            rows = node.output[0]
        for number, (step, constant) in enumerate(run, start=1):
            steps = [Step(step.op_type, (rows, "@constant"), "@rows")]
            if number == len(run):
                steps.append(Step("Reshape", ("@rows", reshape.input[1]), step.output[0], attributes(reshape)))
            nodes[step.output[0]], added = chain(step, _TAG, steps, {"constant": constant})
            rows, weights = nodes[step.output[0]][0].output[0], weights | added
    return (replace(model, nodes, weights), True) if nodes else (model, False)


def _arithmetic_behind(
    reshape: NodeProto, filters: int, wiring: Wiring
) -> Iterator[tuple[NodeProto, npt.NDArray[np.float32]]]:
    """Yields the nodes that add or multiply by one number, or by one a filter, and the numbers."""
    tensor = reshape.output[0]
    shape = wiring.shapes.get(tensor, ())
    while (node := wiring.only_consumer(tensor)) is not None and node.op_type in _ARITHMETIC:
        constant = wiring.constant(node, 1 if node.input[0] == tensor else 0)
        if constant is None or constant.size not in (1, filters) or constant.ndim > len(shape):
            return
        if shape[-1:] != (filters,) or constant.shape[-1:] not in ((), (constant.size,)):
            return
        yield node, constant.reshape(-1)
        tensor = node.output[0]
