"""Scales that ONNX Runtime's quantizer leaves where its own kernels lose values, set anew (docs/adr/0019).

An integer layer adds its bias to sums of products, so the bias is counted in steps of *scale of what it reads* times
*scale of its weights*, and nothing but convention ties that step to the bias. The quantizer gives the scale 1.0 to
whatever holds nothing but zeros, and it lets a bias take all of the 32 bits that the sums need too. An integer Softmax
overflows where the scale of its result is far below one part in as many as it has.

Numbers that are only moved, or of which the largest are taken, keep their scale: ONNX Runtime then moves the bytes.
With a scale of their own, as the quantizer gives it to a pooling behind a reshape, they go through float32.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from edgecnn_exporters.rewrites.wiring import Wiring, attributes, read_wiring

Floats = npt.NDArray[np.float64]

_BIAS_LIMIT = 2**30  # steps; as much again is left for the sums
_BIAS_STEPS = 2**20  # that the largest bias of a layer has where weights do not say how fine they are
_EMPTY_STEPS = 2**12  # likewise where the layer reads zeros: the coarser, the further it reads once they are none
_SMALLEST_BIAS = 1e-20  # below, scales would leave float32
# ONNX Runtime 1.31 lays exp(x) out so that the largest is the 148th of the parts that float32 has room for, and
# multiplies by 1 / scale before it divides by the sum: qlinear_softmax.cc
_SOFTMAX_ROOM = 128
# past which ONNX Runtime moves a quantization
_MOVES = frozenset({"Flatten", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})


@dataclass(frozen=True, slots=True)
class _Layer:
    """An integer layer with a bias, by the names of its initializers.

    Attributes:
        activation: the scale of what it reads.
        kernel: its weights.
        kernel_scale: one a channel, or one for all.
        axis: of the channels in the weights.
        bias: 32 bits.
        bias_scale: one a channel, or one for all.
        values: of the bias.
    """

    activation: str
    kernel: str
    kernel_scale: str
    axis: int
    bias: str
    bias_scale: str
    values: Floats


def mend_scales(model: ModelProto, float32: ModelProto, *, empty: Collection[str]) -> None:
    """Sets those scales anew by which a bias or a Softmax would lose its values.

    A graph in which no channel is without weights, no activation without values and no Softmax nearly even stays as it
    is.

    Args:
        model: of `quantize_static` in the QDQ format, from `float32`; is changed.
        float32: what it was made of.
        empty: activations that were 0 on all images of the calibration.
    """
    source, weights = read_wiring(float32), {tensor.name: tensor for tensor in model.graph.initializer}
    producers = {tensor: node for node in model.graph.node for tensor in node.output if tensor}
    shared = _share_moved(model, producers, weights)
    layers = list(_layers(model, producers, weights, source))
    changed = {
        *shared,
        *_widen_softmax(model, producers, weights, source),
        *_narrow_empty(model, layers, weights, empty),
    }
    changed |= _fit_channels(layers, weights)
    for layer in layers:
        if not changed.isdisjoint({layer.activation, layer.kernel_scale}):
            step = np.asarray(_read(weights, layer.activation) * _read(weights, layer.kernel_scale), np.float32)
            _write(weights, layer.bias_scale, step.reshape(_read(weights, layer.bias_scale).shape))
            _write(weights, layer.bias, np.rint(layer.values / step.astype(np.float64)))


def _share_moved(model: ModelProto, producers: Mapping[str, NodeProto], weights: Mapping[str, TensorProto]) -> set[str]:
    """Gives what was moved since it was quantized the same scale again; returns the scales that have new readers."""
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            readers.setdefault(node.input[0], []).append(node)
    shared = set()
    for node in model.graph.node:
        maker = producers.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        moved = False
        while maker is not None and maker.op_type in _MOVES:
            maker, moved = producers.get(maker.input[0]), True
        if not moved or maker is None or maker.op_type != "DequantizeLinear":
            continue
        before, after = ([_read(weights, name) for name in one.input[1:]] for one in (maker, node))
        if all(map(np.array_equal, before, after)):
            continue
        for one in (node, *readers.get(node.output[0], ())):
            one.input[1:] = maker.input[1:]
        shared.add(maker.input[1])
    return shared


def _layers(
    model: ModelProto, producers: Mapping[str, NodeProto], weights: Mapping[str, TensorProto], source: Wiring
) -> Iterator[_Layer]:
    originals = {node.name: node for node in source.producers.values()}
    for node in model.graph.node:
        reads = [producers.get(name) for name in node.input]
        original = originals.get(node.name)
        if len(reads) != 3 or original is None or node.op_type not in ("Conv", "ConvTranspose", "Gemm"):
            continue
        activation, kernel, bias = reads
        values = source.constant(original, 2)
        if (
            values is None
            or any(one is None or one.op_type != "DequantizeLinear" for one in reads)
            or activation is None
            or kernel is None
            or bias is None
            or bias.input[0] not in weights
        ):
            continue
        axis = attributes(kernel).get("axis", 1)
        yield _Layer(
            activation=activation.input[1],
            kernel=kernel.input[0],
            kernel_scale=kernel.input[1],
            axis=axis,
            bias=bias.input[0],
            bias_scale=bias.input[1],
            values=values.astype(np.float64),
        )


def _widen_softmax(
    model: ModelProto, producers: Mapping[str, NodeProto], weights: Mapping[str, TensorProto], source: Wiring
) -> Iterator[str]:
    """Raises scales of Softmax results to what the integer Softmax can compute: at least half a byte at evenness."""
    for node in model.graph.node:
        maker = producers.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        while maker is not None and maker.op_type in _MOVES:
            maker = producers.get(maker.input[0])
        if maker is None or maker.op_type != "Softmax":
            continue
        shape, axis = source.shapes.get(maker.output[0], ()), attributes(maker).get("axis", -1)
        parts = shape[axis] if shape else None
        least = 1 / (_SOFTMAX_ROOM * (parts or 1))
        if _read(weights, node.input[1]) < least:
            _write(weights, node.input[1], np.asarray(least))
            yield node.input[1]


def _narrow_empty(
    model: ModelProto, layers: Collection[_Layer], weights: Mapping[str, TensorProto], empty: Collection[str]
) -> Iterator[str]:
    """Lowers scales of activations that hold nothing, 1.0 by convention, to what the biases behind them can bear."""
    scales = {node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] in empty}
    for scale in sorted(scales):
        bearable = [
            largest / (_EMPTY_STEPS * float(_read(weights, layer.kernel_scale)[_filled(layer, weights)].max()))
            for layer in layers
            if layer.activation == scale and _filled(layer, weights).any() and (largest := _largest(layer))
        ]
        if bearable and min(bearable) < _read(weights, scale):
            _write(weights, scale, np.asarray(min(bearable)))
            yield scale


def _fit_channels(layers: Collection[_Layer], weights: Mapping[str, TensorProto]) -> set[str]:
    """Fits the scale of each channel's weights to its bias, and returns those that have changed.

    A channel without weights takes the step that suits the bias. One whose bias would leave no room for the sums takes
    a coarser one; next to such a bias its weights are nothing.
    """
    changed = set()
    for name in sorted({layer.kernel_scale for layer in layers}):
        readers = [layer for layer in layers if layer.kernel_scale == name and _largest(layer)]
        if not readers:
            continue
        before = _read(weights, name)
        after = before.copy()
        filled = _filled(readers[0], weights)
        after[~filled] = min(_largest(one) / (_BIAS_STEPS * _read(weights, one.activation).item()) for one in readers)
        for one in readers:
            biases = np.abs(one.values) if before.size > 1 else np.abs(one.values).max()
            after = np.maximum(after, biases / (_BIAS_LIMIT * _read(weights, one.activation).item()))
        if not np.array_equal(before, after):
            kernel = _read(weights, readers[0].kernel)
            ratio = np.where(filled, before / after, 0.0)
            _write(weights, readers[0].kernel, np.rint(kernel * _along(ratio, readers[0].axis, kernel.ndim)))
            _write(weights, name, after)
            changed.add(name)
    return changed


def _filled(layer: _Layer, weights: Mapping[str, TensorProto]) -> npt.NDArray[np.bool_]:
    """Returns which channels have weights, one number a scale."""
    kernel, scale = _read(weights, layer.kernel), _read(weights, layer.kernel_scale)
    channels = np.moveaxis(kernel, layer.axis, 0) if scale.size > 1 else kernel[np.newaxis]
    return np.asarray(channels.reshape(len(channels), -1).any(axis=1)).reshape(scale.shape)


def _largest(layer: _Layer) -> float:
    """Returns the largest bias, or 0 where none is worth a step."""
    largest = float(np.abs(layer.values).max(initial=0))
    return largest if largest >= _SMALLEST_BIAS else 0.0


def _along(values: Floats, axis: int, axes: int) -> Floats:
    return values.reshape([-1 if number == axis else 1 for number in range(axes)]) if values.size > 1 else values


def _read(weights: Mapping[str, TensorProto], name: str) -> Floats:
    return numpy_helper.to_array(weights[name]).astype(np.float64)


def _write(weights: Mapping[str, TensorProto], name: str, values: npt.NDArray[Any]) -> None:
    """Puts other numbers into an initializer, in its own type and shape."""
    tensor = weights[name]
    before = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(values.astype(before.dtype).reshape(before.shape), name))
