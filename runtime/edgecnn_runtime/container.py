"""The file format: an ONNX graph followed by its metadata.

An edgecnn file is the bytes of a ModelProto without `metadata_props` (the payload), followed by the bytes of a
ModelProto that holds only `metadata_props`. Protobuf parsers merge the two, so every ONNX tool reads the file as one
model. A short walk over the top-level fields finds the boundary: the first field 14. After it only field 14 may stand.
The entry `edgecnn.metadata_sha256` covers all other entries; the evidence holds the SHA-256 of the payload.

Reference: https://protobuf.dev/programming-guides/encoding/ and https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import dataclasses
import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

from edgecnn_runtime.errors import ModelFileError, ResourceError
from edgecnn_runtime.payload import Payload, hold_payload
from edgecnn_runtime.regular_file import open_regular_file, reason

METADATA_SHA256_KEY = "edgecnn.metadata_sha256"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_IR_VERSION, _GRAPH, _OPSET_IMPORT, _METADATA = 1, 7, 8, 14
_NODE, _INITIALIZER = 1, 5  # of a GraphProto
_NODE_OPERATOR, _NODE_ATTRIBUTE, _ATTRIBUTE_GRAPH, _TENSOR_TYPE = 4, 5, 6, 2  # of a Node-, Attribute-, TensorProto
# ModelProto: field number -> wire type
_MODEL_FIELDS: Mapping[int, int] = {
    **dict.fromkeys((_IR_VERSION, 5), _VARINT),
    **dict.fromkeys((2, 3, 4, 6, _GRAPH, _OPSET_IMPORT, _METADATA, 20, 25, 26), _BYTES),
}
_LONGEST_HEAD = 20  # a tag and a length, ten bytes each at most


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file, taken apart.

    Attributes:
        name: what messages call it; the path.
        payload: all bytes before the metadata: the graph, as ONNX Runtime gets it.
        metadata: the entries of `metadata_props`.
        ir_version: of the ONNX file.
        opset: of the default ONNX domain.
        sha256: hex digest of the payload.
        metadata_sha256: hex digest of the metadata, but for the entry that holds it.
    """

    name: str
    payload: Payload = dataclasses.field(compare=False)  # its hash is compared
    metadata: Mapping[str, str]
    ir_version: int
    opset: int
    sha256: str
    metadata_sha256: str


class _Field(NamedTuple):
    """One protobuf field: its number, wire type, where it stands, and its number if it is a varint."""

    number: int
    wire: int
    start: int
    begin: int
    end: int
    value: int


def read_model_file(path: str | os.PathLike[str]) -> ModelFile:
    """Reads and takes apart a model file; only the payload is held, and only once.

    Raises:
        ModelFileError: missing, unreadable, a directory, a FIFO, empty, truncated, or not an ONNX model.
    """
    name = os.fspath(path)
    try:
        with open_regular_file(path) as stream:
            return _parse(stream, os.fstat(stream.fileno()).st_size, name)
    except OSError as error:
        raise ModelFileError(f"{name}: expected a readable model file: {reason(error)}") from error
    except MemoryError as error:
        raise ResourceError(
            f"{name}: memory ran out while the file was read. Free some, or raise the limits."
        ) from error


def parse_model_file(data: bytes, name: str) -> ModelFile:
    """Takes apart the bytes of a model file.

    Args:
        data: the whole file.
        name: what messages call it.

    Raises:
        ModelFileError: empty, truncated, or not an ONNX model.
    """
    return _parse(io.BytesIO(data), len(data), name)


def holds_operator(file: ModelFile, operator: str) -> bool:
    """Whether a node of the graph, or of the branches of its own nodes, is of that operator; the payload must be open.

    Raises:
        ModelFileError: the graph is damaged.
    """
    wanted = operator.encode()
    with _open_payload(file) as stream:
        return any(
            part.number == _NODE_OPERATOR and _content(stream, part) == wanted
            for node in _graph_fields(stream, file, _NODE)
            for part in _walk(stream, node.end, file.name, node.begin)
        )


def holds_weights(file: ModelFile, data_type: int) -> bool:
    """Whether an initializer of the graph is of that ONNX data type; as `holds_operator`."""
    with _open_payload(file) as stream:
        return any(
            part.number == _TENSOR_TYPE and part.value == data_type
            for tensor in _graph_fields(stream, file, _INITIALIZER)
            for part in _walk(stream, tensor.end, file.name, tensor.begin)
        )


def append_metadata(payload: bytes, metadata: Mapping[str, str]) -> bytes:
    """Returns the bytes of a file: the payload, then the entries in the order of their keys.

    Args:
        payload: a ModelProto without `metadata_props`.
        metadata: the entries; the one with their SHA-256 is added here.
    """
    entries = {**metadata, METADATA_SHA256_KEY: metadata_sha256(metadata)}
    return payload + b"".join(_entry(key, entries[key]) for key in sorted(entries))


def metadata_sha256(metadata: Mapping[str, str]) -> str:
    """Returns the hex SHA-256 over all entries but its own: sorted by key, key NUL value NUL, in UTF-8."""
    text = "".join(f"{key}\0{metadata[key]}\0" for key in sorted(metadata) if key != METADATA_SHA256_KEY)
    return hashlib.sha256(text.encode()).hexdigest()


def _parse(stream: BinaryIO, size: int, name: str) -> ModelFile:
    if size == 0:
        raise ModelFileError(f"{name}: expected an ONNX model, received an empty file")
    ir_version = opset = boundary = 0
    has_graph = False
    metadata: dict[str, str] = {}
    for field in _walk(stream, size, name):
        if _MODEL_FIELDS.get(field.number) != field.wire:
            raise ModelFileError(f"{name}: not an ONNX model, or damaged at byte {field.start}")
        if metadata and field.number != _METADATA:
            raise ModelFileError(
                f"{name}: damaged: expected only metadata from byte {boundary}, not byte {field.start}"
            )
        if field.number == _METADATA:
            boundary = boundary or field.start
            _add_entry(metadata, stream, field, name)
        elif field.number == _OPSET_IMPORT:
            opset = _default_opset(stream, field, name) or opset
        elif field.number == _IR_VERSION:
            ir_version = field.value
        has_graph |= field.number == _GRAPH
    if not (has_graph and ir_version and opset):
        raise ModelFileError(f"{name}: truncated at byte {size}, or not an ONNX model: a part of it is missing")
    payload = hold_payload(stream, boundary or size)
    own = metadata_sha256(metadata)
    return ModelFile(name, payload, MappingProxyType(metadata), ir_version, opset, payload.sha256, own)


def _walk(stream: BinaryIO, size: int, name: str, start: int = 0) -> Iterator[_Field]:
    """Yields the fields of the message that lies from `start` to `size` in the stream, without going into them."""
    position = start
    while position < size:
        stream.seek(position)
        head = stream.read(min(_LONGEST_HEAD, size - position))
        tag, used = _varint(head, 0, name, position)
        value, begin, wire = 0, position + used, tag & 7
        if wire in (_VARINT, _BYTES):
            value, used = _varint(head, used, name, position)
            begin = position + used
        sizes = {_VARINT: 0, _FIXED64: 8, _BYTES: value, _FIXED32: 4}
        if wire not in sizes:
            raise ModelFileError(f"{name}: not an ONNX model, or damaged at byte {position}")
        end = begin + sizes[wire]
        if end > size:
            raise ModelFileError(
                f"{name}: truncated at byte {size}, or not an ONNX model: the field at byte {position} ends at byte "
                f"{end}"
            )
        yield _Field(tag >> 3, wire, position, begin, end, value)
        position = end


def _varint(head: bytes, start: int, name: str, position: int) -> tuple[int, int]:
    """Returns the number that starts there and the index after it."""
    value = 0
    for index, byte in enumerate(head[start : start + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, start + index + 1
    raise ModelFileError(f"{name}: truncated at byte {position + len(head)}, or not an ONNX model")


def _open_payload(file: ModelFile) -> BinaryIO:
    source = file.payload.source
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")  # noqa: PTH123


def _graph_fields(stream: BinaryIO, file: ModelFile, number: int) -> Iterator[_Field]:
    """Yields the fields of that number of the graph, and of the graphs that its nodes hold."""

    def within(message: _Field, number: int) -> Iterator[_Field]:
        for field in _walk(stream, message.end, file.name, message.begin):
            if (field.number, field.wire) == (number, _BYTES):
                yield field

    for graph in _walk(stream, file.payload.size_bytes, file.name):
        if graph.number == _GRAPH:
            yield from within(graph, number)
            for node in within(graph, _NODE):
                for attribute in within(node, _NODE_ATTRIBUTE):
                    for branch in within(attribute, _ATTRIBUTE_GRAPH):
                        yield from within(branch, number)


def _strings(stream: BinaryIO, field: _Field, name: str) -> dict[int, bytes]:
    """Returns the byte fields of a small message by number; each may stand once."""
    parts: dict[int, bytes] = {}
    for part in _walk(stream, field.end, name, field.begin):
        if part.wire != _BYTES or part.number in parts:
            raise ModelFileError(f"{name}: damaged at byte {part.start}")
        parts[part.number] = _content(stream, part)
    return parts


def _content(stream: BinaryIO, field: _Field) -> bytes:
    stream.seek(field.begin)
    return stream.read(field.end - field.begin)


def _add_entry(metadata: dict[str, str], stream: BinaryIO, field: _Field, name: str) -> None:
    parts = _strings(stream, field, name)
    try:
        key, value = parts.pop(1).decode(), parts.pop(2, b"").decode()
    except (KeyError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{name}: the metadata entry at byte {field.start} is damaged") from error
    if parts or key in metadata:
        raise ModelFileError(f"{name}: the metadata entry {key!r:.60} at byte {field.start} is damaged or stands twice")
    metadata[key] = value


def _default_opset(stream: BinaryIO, field: _Field, name: str) -> int:
    """Returns the version of an OperatorSetId if it is the default domain's, else 0."""
    parts = {part.number: part for part in _walk(stream, field.end, name, field.begin)}
    domain = _content(stream, parts[1]) if 1 in parts else b""
    return parts[2].value if 2 in parts and domain in (b"", b"ai.onnx") else 0


def _entry(key: str, value: str) -> bytes:
    """Returns one `metadata_props` entry as a field of a ModelProto."""
    entry = b"".join(_bytes_field(number, text.encode()) for number, text in ((1, key), (2, value)))
    return _bytes_field(_METADATA, entry)


def _bytes_field(number: int, content: bytes) -> bytes:
    size, length = len(content), bytearray()
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes([number << 3 | _BYTES, *length]) + content
