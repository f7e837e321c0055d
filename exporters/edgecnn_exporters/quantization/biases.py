"""Biases that take back what the rounding of weights adds to a layer's sums in the mean (docs/adr/0033).

A weight that is rounded up adds to every sum as much as its input is in the mean, and an input behind a ReLU is never
below 0: the sums of a channel are all too large, or too small. What that comes to is known from the means of the
float32 graph's activations, and the bias takes it back.

Reference:
    Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from edgecnn_exporters.rewrites.wiring import Wiring, attributes, read_wiring

Floats = npt.NDArray[np.float64]
Means = Mapping[str, npt.NDArray[np.floating[Any]]]

_MOST_STEPS = 2**30  # of a bias; as much again is left for the sums


def correct_biases(model: ModelProto, float32: ModelProto, means: Means) -> None:
    """Takes the mean of what rounding added to each convolution and Gemm out of its bias.

    Args:
        model: of `quantize_static` in the QDQ format, from `float32`; is changed.
        float32: what it was made of.
        means: of each channel of what a layer reads, by the name of that tensor in `float32`.
    """
    source = read_wiring(float32)
    originals = {node.name: node for node in source.producers.values()}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    producers = {tensor: node for node in model.graph.node for tensor in node.output if tensor}
    corrected = set[str]()  # by a bias' name: one that two layers share is left to the first
    for node in model.graph.node:
        original = originals.get(node.name)
        if original is None or node.op_type not in ("Conv", "Gemm") or len(node.input) != 3:
            continue
        mean, exact = means.get(original.input[0]), source.constant(original, 1)
        kernel, bias = (_stored(producers.get(name), weights) for name in node.input[1:])
        if mean is None or exact is None or kernel is None or bias is None or exact.shape != kernel.values.shape:
            continue
        rounded = kernel.values * _along(kernel.scale, kernel.axis, exact.ndim)
        added = _added(original, rounded - exact, mean.astype(np.float64), source)
        steps = np.rint(bias.values - added / bias.scale)
        if np.isfinite(steps).all() and np.abs(steps).max(initial=0) < _MOST_STEPS and bias.name not in corrected:
            corrected.add(bias.name)
            tensor = weights[bias.name]
            tensor.CopyFrom(numpy_helper.from_array(steps.astype(np.int32).reshape(bias.values.shape), bias.name))


class _Stored(NamedTuple):
    """An initializer in integers, and what they mean.

    Attributes:
        name: of the initializer.
        values: the integers.
        scale: of them all, or one a channel.
        axis: of the channels.
    """

    name: str
    values: Floats
    scale: Floats
    axis: int


def _stored(node: NodeProto | None, weights: Mapping[str, TensorProto]) -> _Stored | None:
    """Returns what a DequantizeLinear reads; None where there is none, or it reads no initializers."""
    if node is None or node.op_type != "DequantizeLinear" or any(name not in weights for name in node.input[:2]):
        return None
    values, scale = (numpy_helper.to_array(weights[name]).astype(np.float64) for name in node.input[:2])
    return _Stored(node.input[0], values, scale, attributes(node).get("axis", 1))


def _added(node: NodeProto, error: Floats, mean: Floats, source: Wiring) -> Floats:
    """Returns what an error of the weights adds to each output channel in the mean.

    Args:
        node: a Conv or Gemm of the float32 graph.
        error: of its weights, in their shape.
        mean: (C,) of each channel that it reads.
        source: of the float32 graph.
    """
    if node.op_type == "Gemm":
        return mean @ (error.T if attributes(node).get("transB") else error)
    taps = error * _coverage(node, error.shape[2:], source.shapes.get(node.input[0], ()))
    filters, read = error.shape[:2]
    groups = attributes(node).get("group", 1)
    of_filter = mean.reshape(groups, read)[np.arange(filters) * groups // filters]  # (filters, read)
    return np.asarray((taps.sum(axis=(2, 3)) * of_filter).sum(axis=1))


def _coverage(node: NodeProto, kernel: tuple[int, ...], shape: tuple[int | None, ...]) -> Floats:
    """Returns for each place of a kernel at which part of the outputs it reads no padding, (rows, columns).

    All of them where the size of the image is free.
    """
    options = attributes(node)
    pads, strides = options.get("pads", (0, 0, 0, 0)), options.get("strides", (1, 1))
    dilations = options.get("dilations", (1, 1))
    if len(shape) != 4 or None in shape[2:] or options.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return np.ones(kernel)
    rows, columns = (
        _covered(int(shape[2 + axis] or 0), kernel[axis], strides[axis], (pads[axis], pads[axis + 2]), dilations[axis])
        for axis in (0, 1)
    )
    return rows[:, np.newaxis] * columns


def _covered(side: int, taps: int, stride: int, pads: tuple[int, int], dilation: int) -> Floats:
    """Returns the part of an axis' outputs at which each place of the kernel is inside.

    >>> _covered(3, 3, 1, (1, 1), 1).round(2).tolist()
    [0.67, 1.0, 0.67]
    """
    reach = (taps - 1) * dilation + 1
    starts = np.arange(0, side + sum(pads) - reach + 1, stride) - pads[0]  # (outputs,)
    places = starts[:, np.newaxis] + np.arange(taps) * dilation
    return np.asarray(((places >= 0) & (places < side)).mean(axis=0))


def _along(values: Floats, axis: int, axes: int) -> Floats:
    return values.reshape([-1 if number == axis else 1 for number in range(axes)]) if values.size > 1 else values
