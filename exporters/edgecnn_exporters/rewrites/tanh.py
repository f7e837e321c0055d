"""Tanh between two layers as Sigmoid, which integer arithmetic has."""

import numpy as np
from onnx import ModelProto, NodeProto

from edgecnn_exporters.rewrites.affine import read_run
from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.scalar_factors import fold_scalar_factors, is_layer, layer_after
from edgecnn_exporters.rewrites.wiring import Wiring, read_wiring, replace

_TAG = "tanh"
_CONSTANTS = {"two": np.array(2, np.float32), "one": np.array(1, np.float32)}


def tanh_as_sigmoid(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with each Tanh between two layers as a Sigmoid: tanh(x) = 2 sigmoid(2 x) - 1.

    The factors go into the weights of the layers on both sides and the offset into a bias, so that nothing is
    calculated more than before. ONNX Runtime looks a quantized Sigmoid up in a table of 256 values; around a Tanh, it
    goes to float and back.

    Args:
        model: after `fold_scalar_factors`; is not changed.

    Returns:
        The model, and whether it has changed.
    """
    wiring = read_wiring(model)
    nodes: dict[str, list[NodeProto]] = {}
    weights: Weights = {}
    for layer in model.graph.node:
        node = wiring.only_consumer(read_run(layer.output[0], wiring).end) if is_layer(layer, wiring) else None
        if node is not None and node.op_type == "Tanh" and _feeds_layer(node, wiring):
            nodes[node.output[0]], added = _sigmoid(node)
            weights |= added
    return (fold_scalar_factors(replace(model, nodes, weights))[0], True) if nodes else (model, False)


def _feeds_layer(node: NodeProto, wiring: Wiring) -> bool:
    """Returns whether a layer reads a node's result, through means and reshapes at most, and takes an offset."""
    return layer_after(read_run(node.output[0], wiring), wiring, offset=True) is not None


def _sigmoid(node: NodeProto) -> tuple[list[NodeProto], Weights]:
    """Returns the nodes in place of one Tanh, and their weights."""
    steps = [
        Step("Mul", (node.input[0], "@two"), "@doubled"),
        Step("Sigmoid", ("@doubled",), "@squashed"),
        Step("Mul", ("@squashed", "@two"), "@spread"),
        Step("Sub", ("@spread", "@one"), node.output[0]),
    ]
    return chain(node, _TAG, steps, _CONSTANTS)
