"""Reckoning: output shapes, parameters, multiply-adds and activation memory of any functional Keras model."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from edgecnn.models.layers import RBF, ConnectionTableConv2D

# At inference these hand on the buffer they receive.
_VIEWS = (layers.Flatten, layers.Reshape, layers.Dropout, layers.SpatialDropout2D, layers.GaussianNoise)


@dataclass(frozen=True, slots=True)
class LayerReckoning:
    """One layer of the table.

    Attributes:
        name: the layer's name.
        type: its class.
        output_shape: without the batch axis; None where the size is free.
        parameters: all of its weights.
        multiply_adds: of one image.
        activation_bytes: of its output for one image.
    """

    name: str
    type: str
    output_shape: tuple[int | None, ...]
    parameters: int
    multiply_adds: int
    activation_bytes: int


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What a model costs, for one image; multiply the bytes by the batch size for a batch.

    Attributes:
        layers: in the order of computation.
        parameters: all of them.
        trainable_parameters: those that training changes.
        multiply_adds: of one image.
        inference_bytes: the largest sum of activations that are alive at once.
        training_bytes: the sum of all activations, since the backward pass reads them.
    """

    layers: tuple[LayerReckoning, ...]
    parameters: int
    trainable_parameters: int
    multiply_adds: int
    inference_bytes: int
    training_bytes: int


def reckon(model: keras.Model) -> Reckoning:
    """Reckons a functional model with fixed image size.

    Convolutions count one multiply-add a kernel weight and output position, dense layers one a weight and position,
    prototypes one a component; biases, pooling and elementwise layers count none.

    Args:
        model: functional, each layer called once.
    """
    rows = tuple(_row(layer) for layer in model.layers)
    return Reckoning(
        layers=rows,
        parameters=model.count_params(),
        trainable_parameters=sum(_size(weight.shape) for weight in model.trainable_weights),
        multiply_adds=sum(row.multiply_adds for row in rows),
        inference_bytes=_peak_bytes(model),
        training_bytes=sum(row.activation_bytes for row in rows),
    )


def _row(layer: keras.Layer) -> LayerReckoning:
    outputs = _tensors(layer.output)
    return LayerReckoning(
        name=layer.name,
        type=type(layer).__name__,
        output_shape=tuple(outputs[0].shape[1:]),
        parameters=layer.count_params(),
        multiply_adds=_multiply_adds(layer),
        activation_bytes=sum(_bytes(tensor) for tensor in outputs),
    )


def _multiply_adds(layer: keras.Layer) -> int:
    match layer:
        case layers.SeparableConv2D():
            depthwise, pointwise = _size(layer.depthwise_kernel.shape), _size(layer.pointwise_kernel.shape)
            return _positions(layer.output, layer.data_format) * (depthwise + pointwise)
        case layers.Conv2DTranspose():
            return _positions(layer.input, layer.data_format) * _size(layer.kernel.shape)
        case layers.Conv1D() | layers.Conv2D() | layers.DepthwiseConv2D():
            return _positions(layer.output, layer.data_format) * _size(layer.kernel.shape)
        case ConnectionTableConv2D():
            return _positions(layer.output, "channels_last") * _size(layer.kernel.shape)
        case RBF():
            return _size(layer.prototypes.shape)
        case layers.Dense():
            return _size(layer.output.shape[1:-1]) * _size(layer.kernel.shape)
        case _:
            return 0


def _peak_bytes(model: keras.Model) -> int:
    """Walks the layers in order, freeing each buffer after its last reader; views share their input's buffer."""
    buffer_of: dict[int, int] = {}
    last_reader: dict[int, int] = {}
    for step, layer in enumerate(model.layers):
        inputs = [] if isinstance(layer, layers.InputLayer) else _tensors(layer.input)
        for tensor in inputs:
            last_reader[buffer_of[id(tensor)]] = step
        for tensor in _tensors(layer.output):
            buffer_of[id(tensor)] = buffer_of[id(inputs[0])] if isinstance(layer, _VIEWS) else id(tensor)
    for tensor in model.outputs:
        last_reader[buffer_of[id(tensor)]] = len(model.layers)
    alive: dict[int, int] = {}
    peak = 0
    for step, layer in enumerate(model.layers):
        alive |= {
            id(tensor): _bytes(tensor) for tensor in _tensors(layer.output) if buffer_of[id(tensor)] == id(tensor)
        }
        peak = max(peak, sum(alive.values()))
        alive = {buffer: size for buffer, size in alive.items() if last_reader.get(buffer, step) > step}
    return peak


def _tensors(tree: Any) -> list[Any]:
    return list(keras.tree.flatten(tree))


def _positions(tensor: keras.KerasTensor, data_format: str) -> int:
    return _size(tensor.shape[1:-1] if data_format == "channels_last" else tensor.shape[2:])


def _size(shape: Iterable[int | None]) -> int:
    """The product of the sizes; a free size counts as one."""
    return math.prod(size or 1 for size in shape)


def _bytes(tensor: keras.KerasTensor) -> int:
    return _size(tensor.shape[1:]) * (1 if tensor.dtype in ("uint8", "int8", "bool") else 4)
