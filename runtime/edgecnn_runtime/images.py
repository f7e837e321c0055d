"""Reading images: one door for files, bytes, Pillow images and arrays, to an upright picture in mode RGB or L.

JPEG, PNG, WebP and BMP are read (TIFF on request), recognised by their first bytes. EXIF turns are undone.
Transparency is laid on white. 16-bit gray is divided by 257, where Pillow's own conversion clips. CMYK, palettes and
1-bit pictures are converted by Pillow. Of an animation, the first frame counts.
"""

import contextlib
import importlib
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.regular_file import open_regular_file, reason

ImageSource = str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[np.uint8]
MAX_PIXELS = 50_000_000

# First bytes, bytes from 8 on, and Pillow's "module:class" of the format. The class is called directly, because
# Image.open tries more formats and warns about size instead of refusing; it is named as text, because a device that
# reads one format should not load them all.
_FORMATS = (
    (b"\xff\xd8\xff", b"", "PIL.JpegImagePlugin:JpegImageFile"),
    (b"\x89PNG\r\n\x1a\n", b"", "PIL.PngImagePlugin:PngImageFile"),
    (b"RIFF", b"WEBP", "PIL.WebPImagePlugin:WebPImageFile"),
    (b"BM", b"", "PIL.BmpImagePlugin:BmpImageFile"),
)
_TIFF_FORMATS = (
    (b"II*\0", b"", "PIL.TiffImagePlugin:TiffImageFile"),
    (b"MM\0*", b"", "PIL.TiffImagePlugin:TiffImageFile"),
)
_SIGNATURE_BYTES = 12
# What Pillow raises on damaged files; the warnings where the caller's filters make errors of them.
_DAMAGED = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, AttributeError, RuntimeError),
    *(struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning, UserWarning),
)
_ORIENTATION = 0x0112
# EXIF orientation -> what makes the picture upright
_UPRIGHT: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(source: ImageSource, *, tiff: bool = False) -> Image.Image:
    """Returns the decoded, upright picture in mode "RGB" or "L".

    Args:
        source: a path, the bytes of a file, a Pillow image, or a uint8 array (H,W), (H,W,1) or (H,W,3) in RGB order.
        tiff: whether TIFF files are read too.

    Raises:
        ImageError: the file cannot be read, is damaged or truncated, is of another format, or has over 50 megapixels;
            or an array has another dtype or shape.
        TypeError: the source is none of these.
    """
    if isinstance(source, np.ndarray):
        pixels = check_array(source)
        return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if isinstance(source, Image.Image):
        return _upright(source, "image")
    if isinstance(source, bytes):
        return _read(io.BytesIO(source), "image bytes", tiff)
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            f"image: expected a path, bytes, a Pillow image or a uint8 array, received {type(source).__name__}"
        )
    name = os.fspath(source)
    try:
        stream = open_regular_file(source)
    except OSError as error:
        raise ImageError(f"{name}: expected a readable image file: {reason(error)}") from error
    with stream:
        return _read(stream, name, tiff)


def check_array(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Returns the array as (H, W, C), without a copy.

    Raises:
        ImageError: it is not a uint8 array of shape (H,W), (H,W,1) or (H,W,3), is empty, or has over 50 megapixels.
    """
    shape = array.shape
    if array.dtype != np.uint8:
        raise ImageError(
            f"image array: expected dtype uint8, received {array.dtype}. Scale it to 0..255 and convert it."
        )
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)):
        raise ImageError(f"image array: expected shape (H, W), (H, W, 1) or (H, W, 3), received {shape}")
    _check_size(shape[1], shape[0], "image array")
    return array if len(shape) == 3 else array[:, :, np.newaxis]


def _read(stream: BinaryIO, name: str, tiff: bool) -> Image.Image:
    """Opens by signature, checks the size, decodes."""
    with _damage_named(name):
        open_format = _format_class(stream.read(_SIGNATURE_BYTES), name, tiff)
        stream.seek(0)
        image = open_format(stream)
    return _upright(image, name)


def _format_class(head: bytes, name: str, tiff: bool) -> Callable[[BinaryIO], Image.Image]:
    """Returns the class of Pillow that reads files which start so."""
    for start, from_8, where in _FORMATS + (_TIFF_FORMATS if tiff else ()):
        if head.startswith(start) and head[8:].startswith(from_8):
            module, _, format_class = where.partition(":")
            return cast("Callable[[BinaryIO], Image.Image]", getattr(importlib.import_module(module), format_class))
    formats = "JPEG, PNG, WebP, BMP" + (" or TIFF" if tiff else "")
    received = f"a file that starts with {head!r}" if head else "an empty file"
    raise ImageError(f"{name}: expected an image ({formats}), received {received}")


def _upright(image: Image.Image, name: str) -> Image.Image:
    _check_size(*image.size, name)
    with _damage_named(name):
        turn = _UPRIGHT.get(_orientation(image))
        flat = _flat(image, name)
        return flat if turn is None else flat.transpose(turn)


@contextlib.contextmanager
def _damage_named(name: str) -> Iterator[None]:
    """Turns what Pillow raises on a damaged file into an ImageError."""
    try:
        yield
    except _DAMAGED as error:
        raise ImageError(f"{name}: the image is damaged or truncated: {str(error) or type(error).__name__}") from error


def _check_size(width: int, height: int, name: str) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise ImageError(
            f"{name}: expected 1 to {MAX_PIXELS // 1_000_000} megapixels, received {height} x {width} (height x width)"
        )


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation; an EXIF block that cannot be read says nothing, as in every viewer."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _DAMAGED:
        return 1


def _flat(image: Image.Image, name: str) -> Image.Image:
    """Returns the decoded picture in mode RGB or L, transparency laid on white."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _scale_16_bit(image, name)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    if image.mode == "F":
        raise ImageError(f"{name}: expected 8 or 16 bits a channel, received floating point, whose range is unknown")
    if image.mode in ("L", "RGB"):
        image.load()
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _scale_16_bit(image: Image.Image, name: str) -> Image.Image:
    values = np.asarray(image).astype(np.int32)  # (H, W)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(f"{name}: expected gray levels from 0 to 65535, received {values.min()} to {values.max()}")
    levels = ((values + 128) // 257).astype(np.uint8)
    key = image.info.get("transparency")
    if isinstance(key, int):
        levels[values == key] = 255
    return Image.fromarray(levels)
