"""What Pillow does not say about damaged files: rows that are missing, and damage that touches no pixel.

This module is loaded with the first PNG, or with the first other picture that is suspected.
"""

import io
import logging
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from PIL import Image

from edgecnn_runtime.image_files import MAX_PIXELS

_LOGGER = logging.getLogger("edgecnn_runtime.images")
_Reader = Callable[[BinaryIO], Image.Image]

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_CHUNK = struct.Struct(">I4s")  # of a PNG: the length of its content, its type
_PIECE = 1 << 16
_MISSING = "its data end before its last row"
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Chunks without which the pixels are others; text holds a turn at most, in these two.
_PNG_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PNG_TURNS = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
# JPEG's segments: quantization and Huffman tables, frames, scans, restarts, JFIF and Adobe (how colours are stored).
_JPEG_NEEDED = (*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 0xE0, 0xEE)
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# What may follow a scan that is whole: it is never looked at. As stuffed ones, zeros, and alternating bits.
_TAILS = (b"\xff\x00" * 16, b"\x00" * 16, b"\x55" * 16)


def check_png(data: bytes, *, rows: bool) -> None:
    """Raises where a PNG that Pillow decoded is damaged all the same.

    Args:
        data: of the file.
        rows: whether they are counted too, which takes as long as the decompression.

    Raises:
        OSError: a chunk of pixels does not have its checksum, which Pillow never looks at; or rows are missing.
    """
    for kind, begin, end in _png_chunks(data):
        if kind == b"IDAT" and data[end : end + 4] != zlib.crc32(data[begin - 4 : end]).to_bytes(4, "big"):
            raise OSError("the checksum of its pixels is wrong")
    if rows and _png_lacks_rows(data):
        raise OSError(_MISSING)


def check_jpeg(data: bytes, reader: _Reader) -> None:
    """Raises where a JPEG that Pillow decoded holds fewer rows than it says.

    Args:
        data: of the file.
        reader: the class of Pillow that decoded it.

    Raises:
        OSError: rows are missing.
    """
    if _lacks_rows(data, reader):
        raise OSError(_MISSING)


def without_damage(data: bytes, reader: _Reader, name: str, error: Exception) -> Image.Image | None:
    """Returns the picture where the damage lies where no pixels are, else None.

    That is: metadata of a PNG or JPEG, and a JPEG that lacks nothing but its end marker.

    Args:
        data: of the file.
        reader: the class of Pillow that failed.
        name: of the file, for the log.
        error: what Pillow said.
    """
    image = None
    if data.startswith(_JPEG) and _end_of_scan(data) == len(data):
        image = _decode_alike(data.removesuffix(b"\xff"), b"", reader)  # which may be half an end marker
    if image is None:
        needed = _needed(data)
        image = None if needed is None or _lacks_rows(needed, reader) else _decoded(needed, reader)
    if image is not None:
        _LOGGER.warning("%s: damaged where it holds no pixels, which are whole: %s", name, error)
    return image


def _lacks_rows(data: bytes, reader: _Reader) -> bool:
    if data.startswith(_PNG):
        return _png_lacks_rows(data)
    end = _end_of_scan(data)
    return end is None or _decode_alike(data[:end], data[end:], reader) is None


def _decode_alike(scan: bytes, rest: bytes, reader: _Reader) -> Image.Image | None:
    """Returns the picture where it does not depend on what follows its scan: then the scan is whole."""
    restart = bytes((0xFF, 0xD0 + _restarts(scan) % 8))  # begins the next interval, where one is missing
    pictures = [_decoded(scan + begin + tail + rest, reader) for begin in (b"", restart) for tail in _TAILS]
    first, *others = pictures
    if first is None or any(each is None or each.tobytes() != first.tobytes() for each in others):
        return None
    return first


def _decoded(data: bytes, reader: _Reader) -> Image.Image | None:
    try:
        image = reader(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            return None
        image.load()
    except Exception:  # noqa: BLE001  (whatever Pillow raises: the first error is the one to show)
        return None
    return image


def _end_of_scan(data: bytes) -> int | None:
    """Returns where the first scan of a JPEG ends: at a marker, or at the end of the file."""
    for marker, _, end in _jpeg_segments(data):
        if marker == 0xDA:
            found = _MARKER.search(data, end)
            return found.start() if found else len(data)
    return None


def _restarts(scan: bytes) -> int:
    """Returns how many restart markers stand in the file up to the end of its scan."""
    return len(_RESTART.findall(scan))


def _needed(data: bytes) -> bytes | None:
    """Returns the file without its metadata; None where it has none, or is of another format."""
    if data.startswith(_PNG):
        kept = _PNG + b"".join(
            data[begin - 8 : end + 4] for kind, begin, end in _png_chunks(data) if _png_needs(data, kind, begin, end)
        )
    elif data.startswith(_JPEG):
        parts, scan = [_JPEG], len(data)
        for marker, start, end in _jpeg_segments(data):
            if marker == 0xDA:
                scan = start
                break
            exif = marker == 0xE1 and data[start + 4 : end].startswith(b"Exif\0\0")
            parts.append(data[start:end] if marker in _JPEG_NEEDED or exif else b"")
        kept = b"".join([*parts, data[scan:]])
    else:
        return None
    return kept if len(kept) < len(data) else None


def _png_needs(data: bytes, kind: bytes, begin: int, end: int) -> bool:
    if kind in _PNG_NEEDED:
        return True
    turns = kind == b"eXIf" or (kind in (b"iTXt", b"tEXt", b"zTXt") and data.startswith(_PNG_TURNS, begin, end))
    return turns and data[end : end + 4] == zlib.crc32(data[begin - 4 : end]).to_bytes(4, "big")


def _png_lacks_rows(data: bytes) -> bool:
    """Whether the compressed data of a PNG hold fewer bytes than its rows need."""
    wanted, inflate = 0, zlib.decompressobj()
    for kind, begin, end in _png_chunks(data):
        if kind == b"IHDR":
            wanted = _png_bytes(data[begin:end])
        elif kind == b"IDAT":
            for start in range(begin, min(end, len(data)), _PIECE):  # what is not consumed is copied at each step
                piece = data[start : min(start + _PIECE, end)]
                while piece and wanted > 0 and not inflate.eof:
                    wanted -= len(inflate.decompress(piece, min(wanted, _PIECE)))
                    piece = inflate.unconsumed_tail
    return wanted > 0 and wanted > len(inflate.flush())


def _png_bytes(header: bytes) -> int:
    """Returns how many bytes the rows take before they are compressed, each with its filter type."""
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header[:13])
    total = 0
    for x, y, step_x, step_y in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits * _PNG_CHANNELS[colour] + 7) // 8)
    return total


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields the type of each chunk, and where its content begins and ends; before it stands 8 bytes, behind it 4."""
    at = len(_PNG)
    while at + _CHUNK.size <= len(data):
        length, kind = _CHUNK.unpack_from(data, at)
        yield kind, at + _CHUNK.size, at + _CHUNK.size + length
        at += _CHUNK.size + length + 4


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields the marker, the start and the end of each segment up to the first scan's header."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] in (0x00, 0xFF):
            at += 1
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            yield data[at + 1], at, min(at + 2 + length, len(data))
            if data[at + 1] == 0xDA:
                return
            at += 2 + length
