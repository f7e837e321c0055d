"""The first convolution on groups of pixels: some columns of the image become channels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto

from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.pixels import holds_pixels
from edgecnn_exporters.rewrites.wiring import Wiring, attributes, read_wiring, replace

_TAG = "width_folding"
_ACTIVATIONS = frozenset({"Relu", "LeakyRelu", "Clip"})
_FOLDS = (4, 2)
_MOST_CHANNELS = 4
_MOST_BYTES = 32  # a kernel's row that is longer is gathered fast enough as it is


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a convolution is folded.

    Attributes:
        fold: columns of the image in one group.
        groups: how many groups an output reads.
        outputs: neighbouring output columns that one group of columns makes.
        left: columns of padding before the image.
        right: behind it; below 0 for columns that no output reads.
    """

    fold: int
    groups: int
    outputs: int
    left: int
    right: int


def fold_width(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with its first convolution on groups of four columns (or two) of the uint8 image.

    A convolution over 1 to 4 channels spends its time on gathering few bytes at a time. In (N, H, W, C) a group of
    neighbouring columns is a pixel of more channels, without a move; one such pixel gives as many output columns as the
    stride leaves of it, as channels that are columns again without a move. The new kernel holds the old one once for
    each output column, shifted, and zeros.

    Args:
        model: after `pixels_into_convolution`; is not changed.

    Returns:
        The model, and whether it has changed.
    """
    wiring = read_wiring(model)
    nodes: dict[str, list[NodeProto]] = {}
    weights: Weights = {}
    for node in model.graph.node:
        image = _image(node, wiring) if node.op_type == "Conv" else None
        plan = None if image is None else _plan(node, image, wiring)
        if image is not None and plan is not None:
            last = _activation(node, wiring) or node
            nodes[node.output[0]] = []
            nodes[last.output[0]], added = _folded(node, last, image, plan, wiring)
            weights |= added
    return (replace(model, nodes, weights), True) if nodes else (model, False)


def _image(node: NodeProto, wiring: Wiring) -> str | None:
    """Returns the (N, H, W, C) uint8 tensor that a convolution reads through a Transpose and a Cast, if it does."""
    cast = wiring.producers.get(node.input[0])
    transpose = wiring.producers.get(cast.input[0]) if cast is not None and holds_pixels(cast, wiring) else None
    if transpose is None or transpose.op_type != "Transpose" or attributes(transpose)["perm"] != [0, 3, 1, 2]:
        return None
    single = all(wiring.only_consumer(name) is not None for name in (node.input[0], transpose.output[0]))
    return transpose.input[0] if single else None


def _activation(node: NodeProto, wiring: Wiring) -> NodeProto | None:
    """Returns the activation that alone reads a convolution: it stays next to it, where the quantizer joins them."""
    consumer = wiring.only_consumer(node.output[0])
    return consumer if consumer is not None and consumer.op_type in _ACTIVATIONS else None


def _plan(node: NodeProto, image: str, wiring: Wiring) -> _Plan | None:
    """Returns how to fold a convolution; None where its sizes do not allow it."""
    shape, kernel, values = wiring.shapes.get(image, ()), wiring.constant(node, 1), attributes(node)
    if kernel is None or kernel.ndim != 4 or len(shape) != 4 or not _is_covered(values):
        return None
    _, height, width, channels = shape
    columns = kernel.shape[3]
    if height is None or width is None or channels is None or channels > _MOST_CHANNELS:
        return None
    if columns == 1 or columns * channels > _MOST_BYTES:
        return None
    stride, (_, left, _, right) = values.get("strides", [1, 1])[1], values.get("pads", [0, 0, 0, 0])
    made = (width + left + right - columns) // stride + 1
    for fold in _FOLDS:
        outputs = fold // stride
        if fold % stride == 0 and made % outputs == 0:
            groups = -(-(stride * (outputs - 1) + columns) // fold)
            needed = fold * (made // outputs - 1 + groups)
            return _Plan(fold, groups, outputs, left, needed - width - left)
    return None


def _is_covered(values: dict[str, Any]) -> bool:
    """Returns whether a convolution's attributes say that it has one group, no dilation and given pads."""
    dense = values.get("group", 1) == 1 and all(size == 1 for size in values.get("dilations", ()))
    return dense and values.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")


def _folded(
    node: NodeProto, last: NodeProto, image: str, plan: _Plan, wiring: Wiring
) -> tuple[list[NodeProto], Weights]:
    """Returns the nodes in place of a convolution and its activation, and their weights."""
    values, kernel, bias = attributes(node), wiring.values(node, 1), wiring.constant(node, 2)
    height, width, channels = (size or 0 for size in wiring.shapes[image][1:])
    row_stride, stride = values.get("strides", [1, 1])
    top, _, bottom, _ = values.get("pads", [0, 0, 0, 0])
    weights: Weights = {
        "kernel": _folded_kernel(kernel, plan, stride),
        "groups_shape": np.array(
            [0, height, (width + plan.left + plan.right) // plan.fold, plan.fold * channels], np.int64
        ),
    }
    steps = []
    if plan.left or plan.right:
        weights["pads"] = np.array([0, 0, plan.left, 0, 0, 0, plan.right, 0], np.int64)
        steps.append(Step("Pad", (image, "@pads"), "@padded"))
    if bias is not None:
        weights["bias"] = np.tile(bias, plan.outputs)
    convolution = {
        "kernel_shape": [kernel.shape[2], plan.groups],
        "strides": [row_stride, 1],
        "pads": [top, 0, bottom, 0],
    }
    steps += [
        Step("Reshape", ("@padded" if steps else image, "@groups_shape"), "@groups"),  # (N, H, W / fold, fold * C)
        Step("Transpose", ("@groups",), "@first", {"perm": [0, 3, 1, 2]}),
        Step("Cast", ("@first",), "@pixels", {"to": TensorProto.FLOAT}),
        Step("Conv", ("@pixels", "@kernel", "@bias")[: 2 if bias is None else 3], "@convolved", convolution),
    ]
    made = "@convolved"
    if last is not node:
        made = "@activated"
        steps.append(Step(last.op_type, ("@convolved", *last.input[1:]), made, attributes(last)))
    _, filters, rows, made_width = wiring.shapes[node.output[0]]
    weights["image_shape"] = np.array([0, rows, made_width, filters], np.int64)
    steps += [
        Step("Transpose", (made,), "@last", {"perm": [0, 2, 3, 1]}),  # (N, rows, groups, outputs * filters)
        Step("Reshape", ("@last", "@image_shape"), "@columns"),  # (N, rows, columns, filters)
        Step("Transpose", ("@columns",), last.output[0], {"perm": [0, 3, 1, 2]}),
    ]
    return chain(last, _TAG, steps, weights)


def _folded_kernel(kernel: npt.NDArray[np.float32], plan: _Plan, stride: int) -> npt.NDArray[np.float32]:
    """Returns the kernel on groups of columns: (outputs * filters, fold * C, rows, groups)."""
    filters, channels, rows, columns = kernel.shape
    wide = np.zeros((plan.outputs, filters, channels, rows, plan.groups * plan.fold), kernel.dtype)
    for output in range(plan.outputs):
        wide[output, ..., output * stride : output * stride + columns] = kernel
    split = wide.reshape(plan.outputs * filters, channels, rows, plan.groups, plan.fold)
    folded = split.transpose(0, 4, 1, 2, 3).reshape(-1, plan.fold * channels, rows, plan.groups)
    return np.ascontiguousarray(folded)
