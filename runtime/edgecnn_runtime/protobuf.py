"""A walk over the fields of a protobuf message in a stream, which copies nothing that is not asked for.

Reference: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from edgecnn_runtime.errors import ModelFileError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_LONGEST_HEAD = 20  # a tag and a length, ten bytes each at most


class Field(NamedTuple):
    """One protobuf field: its number, wire type, where it stands, and its number if it is a varint."""

    number: int
    wire: int
    start: int
    begin: int
    end: int
    value: int


def walk(stream: BinaryIO, size: int, name: str, start: int = 0) -> Iterator[Field]:
    """Yields the fields of the message that lies from `start` to `size` in the stream, without going into them.

    Args:
        stream: of a file.
        size: where the message ends.
        name: what messages call the file.
        start: where the message begins.

    Raises:
        ModelFileError: the bytes are no such message.
    """
    position = start
    while position < size:
        stream.seek(position)
        head = stream.read(min(_LONGEST_HEAD, size - position))
        tag, used = read_varint(head, 0, name, position)
        value, begin, wire = 0, position + used, tag & 7
        if wire in (VARINT, BYTES):
            value, used = read_varint(head, used, name, position)
            begin = position + used
        sizes = {VARINT: 0, FIXED64: 8, BYTES: value, FIXED32: 4}
        if wire not in sizes:
            raise ModelFileError(f"{name}: not an ONNX model, or damaged at byte {position}")
        end = begin + sizes[wire]
        if end > size:
            raise ModelFileError(
                f"{name}: truncated at byte {size}, or not an ONNX model: the field at byte {position} ends at byte "
                f"{end}"
            )
        yield Field(tag >> 3, wire, position, begin, end, value)
        position = end


def fields_of(stream: BinaryIO, message: Field, name: str) -> Iterator[Field]:
    """Yields the fields of a message that is a field itself; raises as `walk` does."""
    yield from walk(stream, message.end, name, message.begin)


def content(stream: BinaryIO, field: Field) -> bytes:
    """Returns the bytes of a field."""
    stream.seek(field.begin)
    return stream.read(field.end - field.begin)


def read_varint(head: bytes, start: int, name: str, position: int) -> tuple[int, int]:
    """Returns the number that starts there and the index after it.

    Args:
        head: bytes of a message, the number's among them.
        start: where in them it begins.
        name: what messages call the file.
        position: where in the file `head` begins.

    Raises:
        ModelFileError: it does not end.
    """
    value = 0
    for index, byte in enumerate(head[start : start + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, start + index + 1
    raise ModelFileError(f"{name}: truncated at byte {position + len(head)}, or not an ONNX model")
