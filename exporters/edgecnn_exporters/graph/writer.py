"""Writes a model to a file one tensor at a time, so that its weights are never in memory a second time.

The bytes are those of `ModelProto.SerializeToString(deterministic=True)`, which needs three times the model's size.

Reference: https://protobuf.dev/programming-guides/encoding/ and https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import onnx
from onnx import GraphProto, ModelProto, TensorProto

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # field numbers in ModelProto, GraphProto and TensorProto
_BYTES = 2  # the wire type of all three


@dataclass(frozen=True, slots=True)
class Weight:
    """An initializer whose values stay where they are until they are written.

    Attributes:
        name: in the graph.
        shape: of the values.
        dtype: of the values.
        read: returns the values, C-contiguous.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], npt.NDArray[Any]]

    @property
    def size_bytes(self) -> int:
        """Size of the values."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Converted:
    """A model on its way to the disk.

    Attributes:
        model: the graph, with its small weights.
        weights: those that it reads and does not hold.
    """

    model: ModelProto
    weights: tuple[Weight, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        sha256: hex digest of the bytes.
        size_bytes: how many.
    """

    sha256: str
    size_bytes: int


class _Hashing:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self._size = file, hashlib.sha256(), 0

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)

    def written(self) -> Written:
        return Written(self._digest.hexdigest(), self._size)


def write_model(converted: Converted, file: BinaryIO) -> Written:
    """Writes a model and returns the hash and the number of its bytes.

    Of the model these are written: IR version, producer, opset imports, and of its graph the nodes, name, initializers,
    inputs and outputs.

    Args:
        converted: the weights are written behind the model's own initializers.
        file: open for writing.
    """
    model, graph, out = converted.model, converted.model.graph, _Hashing(file)
    front = GraphProto(node=graph.node, name=graph.name).SerializeToString(deterministic=True)
    back = GraphProto(input=graph.input, output=graph.output).SerializeToString(deterministic=True)
    tensors = [*map(_parts, graph.initializer), *((_front(weight), weight) for weight in converted.weights)]
    sizes = [len(start) + (0 if weight is None else weight.size_bytes) for start, weight in tensors]
    total = len(front) + len(back) + sum(len(_head(_INITIALIZER, size)) + size for size in sizes)
    out.write(ModelProto(ir_version=model.ir_version, producer_name=model.producer_name).SerializeToString())
    out.write(_head(_GRAPH, total) + front)
    for size, (start, weight) in zip(sizes, tensors, strict=True):
        out.write(_head(_INITIALIZER, size) + start)
        if weight is not None:
            out.write(weight.read().reshape(-1).view(np.uint8).data)
    out.write(back)
    out.write(ModelProto(opset_import=model.opset_import).SerializeToString())
    return out.written()


def _parts(tensor: TensorProto) -> tuple[bytes, Weight | None]:
    """Returns a tensor's first bytes and, unless they are all, where the rest is to be read."""
    if not tensor.HasField("raw_data"):
        return tensor.SerializeToString(deterministic=True), None
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    weight = Weight(tensor.name, tuple(tensor.dims), dtype, lambda: np.frombuffer(tensor.raw_data, dtype))
    return _front(weight), weight


def _front(weight: Weight) -> bytes:
    """Returns all of a TensorProto that comes before the values."""
    data_type = onnx.helper.np_dtype_to_tensor_dtype(weight.dtype)
    tensor = TensorProto(name=weight.name, data_type=data_type, dims=weight.shape)
    start: bytes = tensor.SerializeToString()
    return start + _head(_RAW_DATA, weight.size_bytes)


def _head(number: int, size: int) -> bytes:
    """Returns the tag and the length that stand before a field's bytes."""
    length = bytearray()
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | _BYTES, *length, size])
