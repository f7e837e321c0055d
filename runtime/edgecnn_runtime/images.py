"""Reading images: one door for files, bytes, Pillow images and arrays, to an upright picture in mode RGB or L.

JPEG, PNG, WebP, BMP, GIF, TIFF and (where Pillow has it) AVIF are read, recognised by their first bytes. EXIF turns
are undone. Transparency is laid on white. 16-bit gray is divided by 257, where Pillow's own conversion clips. CMYK,
palettes and 1-bit pictures are converted by Pillow. Of several frames, the first counts.

A file is refused wherever Pillow's decoder refuses it at its strictest, and where rows are missing that Pillow does not
miss. It is answered where only metadata are damaged (a turn that cannot be read turns nothing), and where a JPEG lacks
nothing but its end marker; both are said in the log, as Pillow's warnings are, with the name of the file.
"""

import io
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from edgecnn_runtime.errors import ImageError, ImageTypeError
from edgecnn_runtime.image_files import IMAGE_SUFFIXES as IMAGE_SUFFIXES  # these two are part of this interface
from edgecnn_runtime.image_files import MAX_PIXELS as MAX_PIXELS
from edgecnn_runtime.image_files import check_size, load, open_image_file, read_image_file
from edgecnn_runtime.regular_file import open_regular_file, reason
from edgecnn_runtime.strict_pillow import StrictPillow

ImageSource = str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[np.uint8]

_ORIENTATION = 0x0112
_TURN_IN = frozenset(("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"))
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
_ON_ITS_SIDE = (5, 6, 7, 8)
_PNG_END_BYTES = 1 << 16
_PNG_TEXTS = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")  # chunks that may hold a turn, and may stand behind the pixels


class Picture(NamedTuple):
    """What was read of an image.

    Attributes:
        image: upright, in mode "RGB" or "L"; of several frames the first.
        frames: how many the file holds; 1 for what is no file.
    """

    image: Image.Image
    frames: int = 1


def open_image(source: ImageSource) -> Image.Image:
    """Returns the decoded, upright picture in mode "RGB" or "L".

    A Pillow image that still is the file that `Image.open` gave is turned upright as its file would be; one that was
    made from it (rotate, transpose, resize, convert, copy, ...) is taken as it is, whatever its EXIF still says.

    Args:
        source: a path, the bytes of a file, a Pillow image, or a uint8 array (H,W), (H,W,1) or (H,W,3) in RGB order.

    Raises:
        ImageError: the file cannot be read, is damaged or truncated, is of another format, or has over 50 megapixels;
            or an array has another dtype or shape.
        TypeError: the source is none of these.
    """
    return open_picture(source).image


def open_picture(source: ImageSource) -> Picture:
    """Returns what `open_image` does, and how many frames its file holds.

    Args:
        source: as `open_image` takes it.

    Raises:
        ImageError: as `open_image` does.
        TypeError: as `open_image` does.
    """
    if isinstance(source, np.ndarray):
        pixels = check_array(source)
        return Picture(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    if isinstance(source, Image.Image):
        return Picture(_from_pillow(source))
    if isinstance(source, bytes):
        return _read(io.BytesIO(source), "image bytes")
    if not isinstance(source, str | os.PathLike):
        raise ImageTypeError(
            f"image: expected a path, bytes, a Pillow image or a uint8 array, received {type(source).__name__}"
        )
    name = os.fspath(source)
    try:
        stream = open_regular_file(source)
    except OSError as error:
        from edgecnn_runtime.not_taken import why_not_taken  # only needed here

        raise ImageError(f"{name}: expected a readable image file: {why_not_taken(name) or reason(error)}") from error
    with stream:
        return _read(stream, name)


def read_shape(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Returns height and width of the displayed picture, turned as its EXIF says, mostly from the file's first bytes.

    Whether its pixels are whole is not looked at.

    Raises:
        ImageError: the file cannot be read, is of another format, or has over 50 megapixels.
    """
    name = os.fspath(path)
    try:
        stream = open_regular_file(path)
    except OSError as error:
        raise ImageError(f"{name}: expected a readable image file: {reason(error)}") from error
    with stream, StrictPillow(name):
        image = open_image_file(stream, name)
        if image.format == "PNG" and _says_more_at_its_end(stream):
            stream.seek(0)
            image = _upright(read_image_file(stream, name).image, name)
            return image.height, image.width
        turned = image.format != "TIFF" and _orientation(image) in _ON_ITS_SIDE  # Pillow turns the size of a TIFF
        return (image.width, image.height) if turned else (image.height, image.width)


def displayed(image: Image.Image) -> Image.Image:
    """Returns the decoded picture of a file turned as it is displayed, in the mode that it has."""
    turn = _UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


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
    check_size(shape[1], shape[0], "image array")
    return array if len(shape) == 3 else array[:, :, np.newaxis]


def _read(stream: BinaryIO, name: str) -> Picture:
    with StrictPillow(name):
        stored, frames = read_image_file(stream, name)
        return Picture(_upright(stored, name), frames)


def _says_more_at_its_end(stream: BinaryIO) -> bool:
    """Whether a PNG may hold a turn behind its pixels, where only decoding finds it."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _PNG_END_BYTES))
    end = stream.read()
    return any(chunk in end for chunk in _PNG_TEXTS)


def _from_pillow(image: Image.Image) -> Image.Image:
    with StrictPillow("image"):
        check_size(*image.size, "image")
        load(image, getattr(image, "fp", None))
        return _upright(image, "image") if isinstance(image, ImageFile.ImageFile) else _flat(image, "image")


def _upright(image: Image.Image, name: str) -> Image.Image:
    turn = _UPRIGHT.get(_orientation(image))
    flat = _flat(image, name)
    return flat if turn is None else flat.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation; an EXIF block that cannot be read says nothing, as in every viewer."""
    if _TURN_IN.isdisjoint(image.info):  # getexif costs more; Pillow has turned a TIFF when it decoded it
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  (whatever Pillow raises on damaged EXIF: the picture is decoded by now)
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
