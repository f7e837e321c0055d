"""Transposed convolutions of maps of any size, as the single operator that they are at a fixed size.

Where the size is free, TensorFlow is told the size of the output by a sum of the input's, and tf2onnx, which does not
read it, cuts and pads the whole map to that size: some thirty operators and two copies of a map at its largest (and
zeros where a bias belongs, for windows that do not touch). Here the sum is read off the traced graph, so that it is
known beforehand what a plain ConvTranspose has to leave away.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tf2onnx.onnx_opset.nn import ConvTranspose

_OPERATION = "Conv2DBackpropInput"
_SPATIAL = (1, 2)  # axes of (N, H, W, C)


@dataclass(frozen=True, slots=True)
class Window:
    """How the output of a transposed convolution differs from what its windows cover.

    Attributes:
        pads: rows and columns that are left away: top, left, bottom, right.
        output_padding: rows and columns that stand at the bottom and at the right, where no window reaches.
    """

    pads: tuple[int, ...]
    output_padding: tuple[int, ...]


def transposed_handlers(graph: Any) -> dict[str, tuple[Any, list[Any]]]:
    """Returns how tf2onnx is to write the transposed convolutions of a traced graph; none where it does well by itself.

    Args:
        graph: of TensorFlow, as it is traced.
    """
    windows: dict[str, Window] = {}
    for operation in graph.get_operations():
        if operation.type != _OPERATION or (window := _window(operation)) is None:
            continue
        biased = [reader for reader in operation.outputs[0].consumers() if reader.type == "BiasAdd"]
        windows |= {
            one.name: window for one in (operation, *biased)
        }  # tf2onnx joins the two under the name of the second
    return {_OPERATION: (functools.partial(_write, windows), [])} if windows else {}


def _window(operation: Any) -> Window | None:
    """Returns what a convolution leaves and adds on each side; None where its size is fixed or cannot be read."""
    sizes, kernel, x = operation.inputs
    plain = operation.get_attr("data_format") == b"NHWC" and list(operation.get_attr("dilations")) == [1, 1, 1, 1]
    if sizes.op.type != "Pack" or not plain or None in kernel.shape:
        return None
    before, after, added = [], [], []
    for axis, size in zip(_SPATIAL, kernel.shape, strict=False):
        stride, read = operation.get_attr("strides")[axis], x.shape[axis]
        slope, beyond = _linear(sizes.op.inputs[axis], x, axis) or (None, 0)
        if slope == 0 and read is not None:
            slope, beyond = stride, beyond - stride * read
        if slope != stride:
            return None
        left = size - stride - beyond  # of what the windows cover, stride (n - 1) + size
        before.append(max(left, 0) // 2)  # as TensorFlow's "SAME" divides it; "VALID" leaves nothing
        after.append(max(left, 0) - before[-1])
        added.append(max(-left, 0))
    if operation.get_attr("padding") == b"VALID" and any(before + after):
        return None
    return Window((*before, *after), tuple(added))


def _linear(size: Any, x: Any, axis: int) -> tuple[int, int] | None:
    """Returns a and b where a size is reckoned as a n + b, n the size of a tensor's axis; None where it is not."""
    known = tf.get_static_value(size)
    if known is not None:
        return 0, int(known)
    operation = size.op
    if operation.type == "StridedSlice" and operation.inputs[0].op.type == "Shape":
        start = tf.get_static_value(operation.inputs[1])
        is_size = operation.inputs[0].op.inputs[0] is x and start is not None and start.tolist() == [axis]
        return (1, 0) if is_size else None
    if operation.type not in ("AddV2", "Mul", "Sub"):
        return None
    first, second = (_linear(tensor, x, axis) for tensor in operation.inputs)
    if first is None or second is None:
        return None
    if operation.type == "Mul":
        return (first[0] * second[1], first[1] * second[1]) if second[0] == 0 else None
    sign = 1 if operation.type == "AddV2" else -1
    return first[0] + sign * second[0], first[1] + sign * second[1]


def _write(windows: Mapping[str, Window], context: Any, node: Any, name: str, _: Any) -> None:
    """Writes a node of tf2onnx's graph as one ConvTranspose, between the Transposes that tf2onnx then moves away."""
    if name not in windows:
        ConvTranspose.version_11(context, node)
        return
    _sizes, kernel, x, *bias = node.input
    outputs, dtype = list(node.output), context.get_dtype(node.output[0])
    made, size = context.get_shape(node.output[0]), context.get_shape(kernel)
    strides = [node.get_attr("strides").ints[axis] for axis in _SPATIAL]
    context.remove_node(node.name)
    image = context.make_node("Transpose", [x], attr={"perm": [0, 3, 1, 2]}, name=f"{name}/image")
    filters = context.make_node("Transpose", [kernel], attr={"perm": [3, 2, 0, 1]}, name=f"{name}/filters")
    convolution = context.make_node(
        "ConvTranspose",
        [image.output[0], filters.output[0], *bias],
        attr={
            "kernel_shape": size[:2],
            "strides": strides,
            "pads": list(windows[name].pads),
            "output_padding": list(windows[name].output_padding),
        },
        name=f"{name}/convolution",
        shapes=None if made is None else [[made[0], made[3], made[1], made[2]]],
        dtypes=[dtype],
    )
    context.make_node(
        "Transpose",
        [convolution.output[0]],
        attr={"perm": [0, 2, 3, 1]},
        outputs=outputs,
        name=name,
        shapes=[made],
        dtypes=[dtype],
    )
