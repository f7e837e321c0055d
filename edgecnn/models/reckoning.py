"""Reckoning: output shapes, parameters, multiply-adds and activation memory of any functional Keras model."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from edgecnn.models.layers import (
    RBF,
    Apart,
    ConnectionTableConv2D,
    InPlaces,
    LastWord,
    RoIAlign,
    Together,
    Warped,
)

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
        activation_bytes: of its output for one image, and of the map that a separable convolution makes between its two
            steps.
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
        inference_bytes: the largest sum of activations that are alive at once, every layer reading one buffer and
            writing another. A runtime that fuses layers or works in place needs less; scratch space of a kernel comes
            on top.
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

    Convolutions count one multiply-add a kernel weight and output position, dense layers one a weight and position, an
    LSTM one a weight and word, prototypes one a component; biases, pooling and elementwise layers count none. What is
    computed for each of a fixed number of regions counts so many times.

    Args:
        model: functional, each layer called once.
    """
    times = _times(model)
    rows = tuple(_row(layer, times[layer.name]) for layer in model.layers)
    return Reckoning(
        layers=rows,
        parameters=model.count_params(),
        trainable_parameters=sum(_size(weight.shape) for weight in model.trainable_weights),
        multiply_adds=sum(row.multiply_adds for row in rows),
        inference_bytes=_peak_bytes(model, times),
        training_bytes=sum(row.activation_bytes for row in rows),
    )


def _times(model: keras.Model) -> dict[str, int]:
    """Returns by layer how many rows it gives for an image: one, or one a region between these and the image."""
    times: dict[str, int] = {}
    of_tensor: dict[int, int] = {}
    for layer in model.layers:
        inputs = [] if isinstance(layer, layers.InputLayer) else _tensors(layer.input)
        several = max((of_tensor[id(tensor)] for tensor in inputs), default=1)
        match layer:
            case Together() | Warped():
                several = inputs[-1].shape[1] or 1
            case Apart() | InPlaces():
                several = 1
        times[layer.name] = several
        of_tensor |= {id(tensor): several for tensor in _tensors(layer.output)}
    return times


def _row(layer: keras.Layer, times: int) -> LayerReckoning:
    outputs = _tensors(layer.output)
    return LayerReckoning(
        name=layer.name,
        type=type(layer).__name__,
        output_shape=tuple(outputs[0].shape[1:]),
        parameters=layer.count_params(),
        multiply_adds=_multiply_adds(layer) * times,
        activation_bytes=(sum(_bytes(tensor) for tensor in outputs) + _between_bytes(layer)) * times,
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
        case layers.LSTM():
            return _size(layer.input.shape[1:-1]) * sum(_size(cell.shape) for cell in layer.weights[:2])
        case RoIAlign():
            rows, columns, channels = layer.input[0].shape[1:]
            _, count, size, _, _ = layer.output.shape
            return int(count * size * columns * channels * (rows + size))
        case LastWord():
            return _size(layer.input[0].shape[1:])
        case layers.Dense():
            return _size(layer.output.shape[1:-1]) * _size(layer.kernel.shape)
        case _:
            return 0


@dataclass(frozen=True, slots=True)
class _Step:
    """What reads some buffers and makes others, with the bytes of these."""

    reads: tuple[int, ...]
    makes: dict[int, int]


def _peak_bytes(model: keras.Model, times: Mapping[str, int]) -> int:
    """Walks the steps in order, freeing each buffer after its last reader."""
    steps = _steps(model, times)
    last_reader = {buffer: index for index, step in enumerate(steps) for buffer in step.reads}
    alive: dict[int, int] = {}
    peak = 0
    for index, step in enumerate(steps):
        alive |= step.makes
        peak = max(peak, sum(alive.values()))
        alive = {buffer: size for buffer, size in alive.items() if last_reader.get(buffer, index) > index}
    return peak


def _steps(model: keras.Model, times: Mapping[str, int]) -> list[_Step]:
    """Returns one step a layer, two for a separable convolution; views share their input's buffer."""
    buffer_of: dict[int, int] = {}
    steps = []
    for layer in model.layers:
        inputs = [] if isinstance(layer, layers.InputLayer) else _tensors(layer.input)
        outputs = _tensors(layer.output)
        reads = tuple(buffer_of[id(tensor)] for tensor in inputs)
        buffer_of |= {id(tensor): reads[0] if isinstance(layer, _VIEWS) else id(tensor) for tensor in outputs}
        if between := _between_bytes(layer) * times[layer.name]:
            steps.append(_Step(reads, {id(layer): between}))
            reads = (id(layer),)
        own = [tensor for tensor in outputs if buffer_of[id(tensor)] == id(tensor)]
        makes = {id(tensor): _bytes(tensor) * times[layer.name] for tensor in own}
        steps.append(_Step(reads, makes))
    steps.append(_Step(tuple(buffer_of[id(tensor)] for tensor in model.outputs), {}))
    return steps


def _between_bytes(layer: keras.Layer) -> int:
    """The map between the depthwise and the pointwise step of a separable convolution; 0 for any other layer."""
    if not isinstance(layer, layers.SeparableConv2D):
        return 0
    return 4 * _positions(layer.output, layer.data_format) * int(layer.pointwise_kernel.shape[-2])


def _tensors(tree: Any) -> list[Any]:
    return list(keras.tree.flatten(tree))


def _positions(tensor: keras.KerasTensor, data_format: str) -> int:
    return _size(tensor.shape[1:-1] if data_format == "channels_last" else tensor.shape[2:])


def _size(shape: Iterable[int | None]) -> int:
    """The product of the sizes; a free size counts as one."""
    return math.prod(size or 1 for size in shape)


def _bytes(tensor: keras.KerasTensor) -> int:
    return _size(tensor.shape[1:]) * (1 if tensor.dtype in ("uint8", "int8", "bool") else 4)
