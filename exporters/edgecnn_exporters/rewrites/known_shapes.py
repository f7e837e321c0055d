"""Shapes that a graph calculates, as the constants that they come to."""

import numpy as np
from onnx import ModelProto, NodeProto

from edgecnn_exporters.rewrites.chain import Weights
from edgecnn_exporters.rewrites.wiring import Wiring, attributes, reading, replace_each


def write_known_shapes(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with a constant for each shape that a Reshape is given by calculation, where one can be.

    With a free batch tf2onnx calculates a shape from another one, to copy the batch. Where all sizes but one are known,
    that one is -1, whatever it is.

    Args:
        model: is not changed.

    Returns:
        The model, and whether it has changed.
    """
    return replace_each(model, "Reshape", _with_constant)


def _with_constant(node: NodeProto, wiring: Wiring) -> tuple[list[NodeProto], Weights] | None:
    shape = wiring.shapes.get(node.output[0])
    calculated = node.input[1] in wiring.producers
    if shape is None or not calculated or shape.count(None) > 1 or 0 in shape or attributes(node).get("allowzero", 0):
        return None
    name = f"{node.output[0]}/known_shape"
    return [reading(node, {node.input[1]: name})], {name: np.array([-1 if n is None else n for n in shape], np.int64)}
