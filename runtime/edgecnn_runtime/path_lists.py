"""Lists of paths: text, one path a line, read line by line, however many they are."""

import codecs
import io
import sys
from collections.abc import Iterator
from typing import BinaryIO

LONGEST_PATH = 32_767  # characters, of Windows; elsewhere it is less
_PIECE_BYTES = 1 << 16
_MARKS = (  # the longer ones first, which begin like the shorter ones
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CURE = (
    "A list is text with a path a line, in UTF-8, or in UTF-16 with its byte order mark; a picture is named "
    "without the @."
)


def read_paths(stream: BinaryIO) -> Iterator[tuple[int, str]]:
    r"""Yields each line that is not blank, with its number from 1 on; \n, \r\n and \r end a line.

    A byte order mark says the encoding. Without one the text is in the file system's encoding, in which any bytes may
    be a name.

    Args:
        stream: at most one line of it is held; what comes from a pipe is taken line by line.

    Raises:
        ValueError: a line that cannot be a path, or is not of the encoding; the message says which, and what to do.
        OSError: the stream cannot be read.
    """
    head = stream.readline(max(len(mark) for mark, _ in _MARKS))
    mark, encoding = next((known for known in _MARKS if head.startswith(known[0])), (b"", ""))
    errors = "strict"
    if encoding in ("", "utf-8"):
        encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(errors), translate=True)
    number, rest = 1, ""
    try:
        for text in _texts(stream, decoder, head[len(mark) :]):
            *lines, rest = (rest + text).split("\n")
            for line in lines:
                _check(line, number)
                if line.strip():
                    yield number, line
                number += 1
            _check(rest, number)
    except UnicodeDecodeError as error:
        raise ValueError(f"line {number}: expected {encoding.upper()}, received {error.reason}. {_CURE}") from error


def _texts(stream: BinaryIO, decoder: io.IncrementalNewlineDecoder, head: bytes) -> Iterator[str]:
    yield decoder.decode(head)
    while piece := stream.readline(_PIECE_BYTES):
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True) + "\n"


def _check(line: str, number: int) -> None:
    if "\0" in line:
        raise ValueError(f"line {number}: expected a path, received a NUL, which no path holds. {_CURE}")
    if len(line) > LONGEST_PATH:
        raise ValueError(
            f"line {number}: expected a path of at most {LONGEST_PATH:,} characters, received a longer line. {_CURE}"
        )
