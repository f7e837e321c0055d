"""int8 weights in the form that a processor's matrix units are reached by, with the same integer sums.

ONNX Runtime has two ways for an integer convolution on x86. Where every zero point of the weights is 0 it takes a
direct kernel of its own, made of VNNI or AVX2 products. Elsewhere it gathers the patches and multiplies them as one
matrix, and that product runs on AMX where the processor has it. Weights that are stored one lower, beside a zero point
of -1, are the same weights and take the second way.

Measurements: docs/adr/0014-amx-is-reached-by-a-zero-point.md.
"""

from collections import Counter
from collections.abc import Sequence
from math import prod

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from edgecnn_exporters.errors import QuantizationError

_SHIFT = np.int8(-1)
# Gathering patches and rounding 32-bit sums cost time by the element, and AMX saves it by the product.
_CHANNELS_1X1 = 192
_CHANNELS_OUT, _PATCH = 96, 512


def tune_for_amx(model: ModelProto) -> bool:
    """Stores the weights of the convolutions that AMX makes faster one lower, with a zero point of -1.

    Args:
        model: in QDQ form, weights S8 with zero points of 0; is changed.

    Returns:
        Whether there was such a convolution.

    Raises:
        QuantizationError: a weight is -128.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    dequantizers = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    reads = Counter(name for node in model.graph.node for name in node.input)
    tuned = False
    for node in model.graph.node:
        dequantizer = dequantizers.get(node.input[1]) if node.op_type == "Conv" and not _is_grouped(node) else None
        if dequantizer is None:
            continue
        weight, zero_point = (tensors.get(name) for name in (dequantizer.input[0], dequantizer.input[2]))
        if weight is None or zero_point is None:  # a kernel that the graph computes
            continue
        if reads[weight.name] == reads[zero_point.name] == 1 and _is_symmetric(zero_point) and _pays(weight.dims):
            _shift(weight)
            _shift(zero_point)
            tuned = True
    return tuned


def _is_grouped(convolution: NodeProto) -> bool:
    return any(attribute.name == "group" and attribute.i > 1 for attribute in convolution.attribute)


def _pays(shape: Sequence[int]) -> bool:
    """Returns whether the matrix product is faster, by the shape of the weights: (out, in, height, width)."""
    channels_out, channels_in, *kernel = shape
    if prod(kernel) == 1:
        return channels_in >= _CHANNELS_1X1
    return channels_out >= _CHANNELS_OUT and channels_in * prod(kernel) >= _PATCH


def _is_symmetric(zero_point: TensorProto) -> bool:
    values = numpy_helper.to_array(zero_point)
    return values.dtype == np.int8 and not values.any()


def _shift(tensor: TensorProto) -> None:
    """Lowers every value by one; the quantizer's weights are -127 to 127, so nothing is cut off."""
    values = numpy_helper.to_array(tensor)
    if values.min() == np.iinfo(np.int8).min:
        raise QuantizationError(f"{tensor.name}: expected weights of -127 to 127, received -128")
    tensor.CopyFrom(numpy_helper.from_array(values + _SHIFT, tensor.name))
