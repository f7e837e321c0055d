"""The file format: an ONNX graph followed by its metadata.

An edgecnn file is the bytes of a ModelProto without `metadata_props` (the payload), followed by the bytes of a
ModelProto that holds only `metadata_props`. Protobuf parsers merge the two, so every ONNX tool reads the file as one
model. A short walk over the top-level fields finds the boundary: the first field 14. After it only field 14 may stand.
The entry `edgecnn.metadata_sha256` covers all other entries; the evidence holds the SHA-256 of the payload.

A file without any entry of edgecnn is plain ONNX, as other tools write it: its payload is all of it, and its metadata
may stand anywhere.

Reference: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
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
from edgecnn_runtime.protobuf import BYTES, VARINT, Field, content, fields_of, walk
from edgecnn_runtime.regular_file import open_regular_file, reason

METADATA_SHA256_KEY = "edgecnn.metadata_sha256"

_OWN = "edgecnn."  # begins the keys of all entries that an export writes and a program reads back

_IR_VERSION, _GRAPH, _OPSET_IMPORT, _METADATA = 1, 7, 8, 14
_NODE, _INITIALIZER = 1, 5  # of a GraphProto
_NODE_OPERATOR, _NODE_ATTRIBUTE, _ATTRIBUTE_GRAPH, _TENSOR_TYPE = 4, 5, 6, 2  # of a Node-, Attribute-, TensorProto
# ModelProto: field number -> wire type
_MODEL_FIELDS: Mapping[int, int] = {
    **dict.fromkeys((_IR_VERSION, 5), VARINT),
    **dict.fromkeys((2, 3, 4, 6, _GRAPH, _OPSET_IMPORT, _METADATA, 20, 25, 26), BYTES),
}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file, taken apart.

    Attributes:
        name: what messages call it; the path.
        payload: all bytes before the metadata: the graph, as ONNX Runtime gets it. Of a plain file all bytes.
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

    @property
    def is_plain(self) -> bool:
        """Whether nothing in it is of edgecnn: an ONNX model of another tool, without manifest and evidence."""
        return _is_plain(self.metadata)


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
        raise _unreadable(name, error) from error
    except MemoryError as error:
        raise ResourceError(
            f"{name}: memory ran out while the file was read. Free some, or raise the limits."
        ) from error


def is_plain_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is plain ONNX, as `ModelFile.is_plain` says; only its outline is read.

    Raises:
        ModelFileError: as `read_model_file`.
    """
    name = os.fspath(path)
    try:
        with open_regular_file(path) as stream:
            return _is_plain(_outline(stream, os.fstat(stream.fileno()).st_size, name).metadata)
    except OSError as error:
        raise _unreadable(name, error) from error


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
    with file.payload.open() as stream:
        return any(
            part.number == _NODE_OPERATOR and content(stream, part) == wanted
            for node in _graph_fields(stream, file, _NODE)
            for part in fields_of(stream, node, file.name)
        )


def holds_weights(file: ModelFile, data_type: int) -> bool:
    """Whether an initializer of the graph is of that ONNX data type; as `holds_operator`."""
    with file.payload.open() as stream:
        return any(
            part.number == _TENSOR_TYPE and part.value == data_type
            for tensor in _graph_fields(stream, file, _INITIALIZER)
            for part in fields_of(stream, tensor, file.name)
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


class _Outline(NamedTuple):
    """What the top-level fields of a file say, but for the graph; `boundary` is where the payload ends."""

    metadata: dict[str, str]
    ir_version: int
    opset: int
    boundary: int


def _parse(stream: BinaryIO, size: int, name: str) -> ModelFile:
    metadata, ir_version, opset, boundary = _outline(stream, size, name)
    payload = hold_payload(stream, boundary)
    own = metadata_sha256(metadata)
    return ModelFile(name, payload, MappingProxyType(metadata), ir_version, opset, payload.sha256, own)


def _outline(stream: BinaryIO, size: int, name: str) -> _Outline:
    if size == 0:
        raise ModelFileError(f"{name}: expected an ONNX model, received an empty file")
    ir_version = opset = boundary = misplaced = 0
    has_graph = False
    metadata: dict[str, str] = {}
    for field in walk(stream, size, name):
        if _MODEL_FIELDS.get(field.number) != field.wire:
            raise ModelFileError(f"{name}: not an ONNX model, or damaged at byte {field.start}")
        if metadata and field.number != _METADATA:
            misplaced = misplaced or field.start
        if field.number == _METADATA:
            boundary = boundary or field.start
            _add_entry(metadata, stream, field, name)
        elif field.number == _OPSET_IMPORT:
            opset = _default_opset(stream, field, name) or opset
        elif field.number == _IR_VERSION:
            ir_version = field.value
        has_graph |= field.number == _GRAPH
    if misplaced and not _is_plain(metadata):
        raise ModelFileError(f"{name}: damaged: expected only metadata from byte {boundary}, not byte {misplaced}")
    if not (has_graph and ir_version and opset):
        raise ModelFileError(f"{name}: truncated at byte {size}, or not an ONNX model: a part of it is missing")
    return _Outline(metadata, ir_version, opset, size if _is_plain(metadata) else boundary)


def _is_plain(metadata: Mapping[str, str]) -> bool:
    return not any(key.startswith(_OWN) for key in metadata)


def _unreadable(name: str, error: OSError) -> ModelFileError:
    return ModelFileError(f"{name}: expected a readable model file: {reason(error)}")


def _graph_fields(stream: BinaryIO, file: ModelFile, number: int) -> Iterator[Field]:
    """Yields the fields of that number of the graph, and of the graphs that its nodes hold."""

    def those(message: Field, number: int) -> Iterator[Field]:
        for field in fields_of(stream, message, file.name):
            if (field.number, field.wire) == (number, BYTES):
                yield field

    for graph in walk(stream, file.payload.size_bytes, file.name):
        if graph.number == _GRAPH:
            yield from those(graph, number)
            for node in those(graph, _NODE):
                for attribute in those(node, _NODE_ATTRIBUTE):
                    for branch in those(attribute, _ATTRIBUTE_GRAPH):
                        yield from those(branch, number)


def _strings(stream: BinaryIO, field: Field, name: str) -> dict[int, bytes]:
    """Returns the byte fields of a small message by number; each may stand once."""
    parts: dict[int, bytes] = {}
    for part in fields_of(stream, field, name):
        if part.wire != BYTES or part.number in parts:
            raise ModelFileError(f"{name}: damaged at byte {part.start}")
        parts[part.number] = content(stream, part)
    return parts


def _add_entry(metadata: dict[str, str], stream: BinaryIO, field: Field, name: str) -> None:
    parts = _strings(stream, field, name)
    try:
        key, value = parts.pop(1).decode(), parts.pop(2, b"").decode()
    except (KeyError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{name}: the metadata entry at byte {field.start} is damaged") from error
    if parts or key in metadata:
        raise ModelFileError(f"{name}: the metadata entry {key!r:.60} at byte {field.start} is damaged or stands twice")
    metadata[key] = value


def _default_opset(stream: BinaryIO, field: Field, name: str) -> int:
    """Returns the version of an OperatorSetId if it is the default domain's, else 0."""
    parts = {part.number: part for part in fields_of(stream, field, name)}
    domain = content(stream, parts[1]) if 1 in parts else b""
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
    return bytes([number << 3 | BYTES, *length]) + content
