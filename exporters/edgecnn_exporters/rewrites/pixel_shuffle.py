"""A transposed convolution whose windows do not overlap, as a 1x1 convolution and a shuffle of its pixels."""

import numpy as np
from onnx import ModelProto, NodeProto

from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.wiring import Wiring, attributes, replace_each

_TAG = "pixel_shuffle"


def shuffle_transposed_convolutions(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with each ConvTranspose whose stride is its kernel's size as a 1x1 Conv and a shuffle.

    Each input pixel makes a block of outputs that no other pixel reaches: a 1x1 convolution computes the blocks as
    channels, which then move to their places. The move is written for (N, H, W, C), where the rows of a block stay
    whole; for a map of any size it is DepthToSpace, whose numbers need no size. Integer kernels exist for Conv and not
    for ConvTranspose.

    Args:
        model: is not changed.

    Returns:
        The model, and whether it has changed.
    """
    return replace_each(
        model, "ConvTranspose", lambda node, wiring: _shuffled(node, wiring) if _is_covered(node, wiring) else None
    )


def _is_covered(node: NodeProto, wiring: Wiring) -> bool:
    """Returns whether kernel and stride are equal, nothing is cut or added, and the blocks can be moved."""
    values, kernel = attributes(node), wiring.constant(node, 1)
    if kernel is None or kernel.ndim != 4 or not (_is_sized(node, wiring) or kernel.shape[2] == kernel.shape[3]):
        return False
    if len(node.input) > 2 and node.input[2] and wiring.constant(node, 2) is None:
        return False
    return (
        list(values.get("strides", [1, 1])) == list(kernel.shape[2:])
        and not any(values.get("pads", ()))
        and all(dilation == 1 for dilation in values.get("dilations", ()))
        and not any(values.get("output_padding", ()))
        and "output_shape" not in values
        and values.get("group", 1) == 1
        and values.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    )


def _is_sized(node: NodeProto, wiring: Wiring) -> bool:
    shape = wiring.shapes.get(node.input[0], ())
    return len(shape) == 4 and None not in shape[2:]


def _shuffled(node: NodeProto, wiring: Wiring) -> tuple[list[NodeProto], Weights]:
    """Returns the nodes in place of one ConvTranspose, and their weights."""
    kernel, bias = wiring.values(node, 1), wiring.constant(node, 2)
    channels, filters, rows, columns = kernel.shape
    weights: Weights = {"kernel": np.ascontiguousarray(kernel.transpose(2, 3, 1, 0).reshape(-1, channels, 1, 1))}
    if bias is not None:
        weights["bias"] = np.tile(bias, rows * columns)
    read = (node.input[0], "@kernel", "@bias")[: 2 if bias is None else 3]
    blocks = Step("Conv", read, "@blocks", {"kernel_shape": [1, 1]})  # (N, rows * columns * filters, H, W)
    if not _is_sized(node, wiring):
        move = Step("DepthToSpace", ("@blocks",), node.output[0], {"blocksize": rows, "mode": "DCR"})
        return chain(node, _TAG, [blocks, move], weights)
    height, width = wiring.size(node.input[0])
    weights["blocks_shape"] = np.array([0, height, width, rows, columns, filters], np.int64)
    weights["image_shape"] = np.array([0, height * rows, width * columns, filters], np.int64)
    steps = [
        blocks,
        Step("Transpose", ("@blocks",), "@last", {"perm": [0, 2, 3, 1]}),
        Step("Reshape", ("@last", "@blocks_shape"), "@split"),  # (N, H, W, rows, columns, filters)
        Step("Transpose", ("@split",), "@moved", {"perm": [0, 1, 3, 2, 4, 5]}),
        Step("Reshape", ("@moved", "@image_shape"), "@image"),  # (N, H * rows, W * columns, filters)
        Step("Transpose", ("@image",), node.output[0], {"perm": [0, 3, 1, 2]}),
    ]
    return chain(node, _TAG, steps, weights)
