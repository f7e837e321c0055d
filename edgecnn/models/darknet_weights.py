"""Reading Darknet's .weights files, which hold numbers alone: what they are of is the model's to know.

A header of three little-endian int32 (major, minor, revision) and the number of images seen (uint64 where major * 10 +
minor >= 2, else int32), then float32, a convolution after the other in the order of the configuration file: beta,
gamma, mean and variance of its batch normalisation, or its biases, then its weights as (out, in, rows, columns). There
are no names and no sizes, so a file is taken only where it ends exactly with the last convolution, or with that of a
part that is published: the backbone, and the first layers in a file NAME.conv.N. Of the latter darknet53.conv.74 ends
with Darknet-53's 52 convolutions, and yolov3-tiny.conv.15 with the nine before tiny's first answer.

Reference:
    Darknet's parser.c: `load_weights_upto`, `load_convolutional_weights`.
"""

import math
import os
import struct
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edgecnn.errors import PretrainedWeightsError
from edgecnn.models.darknet import ANCHORS
from edgecnn.models.spec import ModelSpec

_VERSION = struct.Struct("<3i")
_FLOAT = np.dtype("<f4")
_BOX_UNITS = 5  # of a cell and anchor, before its classes
_Shape = tuple[int, ...]


def check_darknet_weights(path: Path) -> int:
    """Returns where the numbers of a file begin, in bytes.

    Args:
        path: a .weights file.

    Raises:
        PretrainedWeightsError: missing, without a whole header, or not of whole float32 numbers behind it.
    """
    if not os.path.isfile(path):  # noqa: PTH113  (Path raises on a long name)
        raise PretrainedWeightsError(
            f"{path}: expected a weights file, received {'a folder' if os.path.isdir(path) else 'nothing'}"  # noqa: PTH112
        )
    try:
        with path.open("rb") as file:
            version, size = file.read(_VERSION.size), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise PretrainedWeightsError(f"{path}: expected a weights file that can be read, received {error}") from error
    major, minor, _ = _VERSION.unpack(version.ljust(_VERSION.size, b"\0"))
    header = _VERSION.size + (8 if major * 10 + minor >= 2 else 4)
    if size < header or (size - header) % _FLOAT.itemsize:
        raise PretrainedWeightsError(
            f"{path}: expected Darknet's weights, a header of {header} bytes and float32 numbers, received "
            f"{size:,} bytes"
        )
    return header


class DarknetWeights(Mapping[str, tuple[_Shape, ...]]):
    """The shapes of a file's weights by our layer names, as Keras has them; `read` fetches the values of one layer.

    A file of the same network for another number of classes is known by its length, and so is one of the backbone
    alone, or of the layers before the first answer; any other length is refused.

    Args:
        path: a .weights file.
        model: a network of Darknet's, at the width that the file is of.
        spec: its catalogue row.
        backbone: the names of the layers before its head.

    Raises:
        PretrainedWeightsError: as for `check_darknet_weights`, or another length.
    """

    def __init__(self, path: Path, model: keras.Model, spec: ModelSpec, *, backbone: frozenset[str]) -> None:
        header = check_darknet_weights(path)
        self._path = path
        count = (path.stat().st_size - header) // _FLOAT.itemsize
        self._shapes = _fitting(_convolutions(model), count, backbone=backbone)
        if not self._shapes:
            expected = header + _FLOAT.itemsize * sum(map(_size, _convolutions(model).values()))
            raise PretrainedWeightsError(
                f"{path}: not the weights of this {spec.name}: expected exactly {expected:,} bytes, or as many as its "
                f"backbone or another number of classes takes, received {path.stat().st_size:,}. Build the model and "
                "width that the weights are of."
            )
        self._offsets = {}
        for name, shapes in self._shapes.items():
            self._offsets[name] = header
            header += _FLOAT.itemsize * _size(shapes)

    def __getitem__(self, layer: str) -> tuple[_Shape, ...]:
        return self._shapes[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def read(self, layer: str) -> list[npt.NDArray[Any]]:
        """Returns the weights of one layer, in Keras' order and form.

        Raises:
            PretrainedWeightsError: the file is shorter than it was.
        """
        shapes = self._shapes[layer]
        try:
            values = np.fromfile(self._path, _FLOAT, _size(shapes), offset=self._offsets[layer])
        except OSError as error:
            raise PretrainedWeightsError(f"{self._path}: layer {layer!r} cannot be read ({error})") from error
        if len(values) < _size(shapes):
            raise PretrainedWeightsError(
                f"{self._path}: the weights of layer {layer!r} are missing, the file has changed"
            )
        values = values.astype(np.float32, copy=False)
        if len(shapes[0]) == 1:  # a normalisation: beta, gamma, mean, variance
            beta, gamma, mean, variance = values.reshape(4, -1)
            return [gamma, beta, mean, variance]
        rows, columns, channels, filters = shapes[0]
        biases, kernel = np.split(values, [values.size - math.prod(shapes[0])])  # biases alone stand before it
        kernel = kernel.reshape(filters, channels, rows, columns).transpose(2, 3, 1, 0)
        return [np.ascontiguousarray(kernel), biases][: len(shapes)]


def _convolutions(model: keras.Model) -> dict[str, tuple[_Shape, ...]]:
    """Returns the shapes of the layers that a file holds, in its order: a normalisation before its convolution."""
    layers = {layer.name: tuple(tuple(weight.shape) for weight in layer.weights) for layer in model.layers}
    ordered: dict[str, tuple[_Shape, ...]] = {}
    for number in range(sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers)):
        for name in (f"conv{number}_bn", f"conv{number}"):
            if name in layers:
                ordered[name] = layers[name]
    return ordered


def _fitting(
    whole: dict[str, tuple[_Shape, ...]], count: int, *, backbone: frozenset[str]
) -> dict[str, tuple[_Shape, ...]]:
    """Returns the shapes that come to so many numbers: the network's, its first layers' or those of other classes."""
    answers = {name: shapes for name, shapes in whole.items() if len(shapes) == 2}  # the convolutions with biases
    before_answer = dict(takewhile(lambda item: item[0] not in answers, whole.items()))
    for shapes in (whole, {name: shapes for name, shapes in whole.items() if name in backbone}, before_answer):
        if sum(map(_size, shapes.values())) == count:
            return shapes
    per_unit = sum(_size(shapes) // shapes[0][-1] for shapes in answers.values())  # one unit more of each
    units, rest = divmod(count - sum(_size(shapes) for name, shapes in whole.items() if name not in answers), per_unit)
    if rest or units % ANCHORS or units // ANCHORS <= _BOX_UNITS:
        return {}
    return whole | {name: ((*shapes[0][:-1], units), (units,)) for name, shapes in answers.items()}


def _size(shapes: tuple[_Shape, ...]) -> int:
    return sum(map(math.prod, shapes))
