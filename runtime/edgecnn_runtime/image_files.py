"""Image files: recognised by their first bytes, decoded by Pillow at its strictest, refused where pixels are missing.

What is decided here, and why, stands in docs/adr/0017-what-a-damaged-picture-is.md.
"""

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from PIL import Image

from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.regular_file import open_regular_file

if TYPE_CHECKING:
    from PIL import ImageFile

MAX_PIXELS = 50_000_000
_HEAD_BYTES = 64
_BACKGROUND = 165
_SMALL = 1 << 14  # pixels: up to here a PNG's rows are counted sooner than a background is laid under them


@dataclass(frozen=True, slots=True)
class _Format:
    """One kind of file.

    Attributes:
        name: for people.
        suffixes: of its files, in lower case.
        starts: what its files begin with, each with what follows from byte 8 on.
        reader: Pillow's "module:class". The class is called directly, because Image.open tries more formats and warns
            about size instead of refusing; it is named as text, because a device that reads one format should not load
            them all. Empty where Pillow reads none.
    """

    name: str
    suffixes: tuple[str, ...]
    starts: tuple[tuple[bytes, bytes], ...]
    reader: str


_FORMATS = (
    _Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), ((b"\xff\xd8\xff", b""),), "PIL.JpegImagePlugin:JpegImageFile"),
    _Format("PNG", (".png",), ((b"\x89PNG\r\n\x1a\n", b""),), "PIL.PngImagePlugin:PngImageFile"),
    _Format("WebP", (".webp",), ((b"RIFF", b"WEBP"),), "PIL.WebPImagePlugin:WebPImageFile"),
    _Format("BMP", (".bmp",), ((b"BM", b""),), "PIL.BmpImagePlugin:BmpImageFile"),
    _Format("GIF", (".gif",), ((b"GIF87a", b""), (b"GIF89a", b"")), "PIL.GifImagePlugin:GifImageFile"),
    _Format(
        "TIFF",
        (".tif", ".tiff"),
        ((b"II*\0", b""), (b"MM\0*", b""), (b"II+\0", b""), (b"MM\0+", b"")),
        "PIL.TiffImagePlugin:TiffImageFile",
    ),
    _Format("AVIF", (".avif",), (), "PIL.AvifImagePlugin:AvifImageFile"),
    _Format("HEIC", (".heic", ".heif", ".hif"), (), ""),
)
_AVIF, _HEIC = _FORMATS[-2:]
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")

IMAGE_SUFFIXES = tuple(suffix for each in _FORMATS if each.reader for suffix in each.suffixes)
UNREAD_SUFFIXES = _HEIC.suffixes  # pictures all the same: each is answered with what to do


class ImageInFile(NamedTuple):
    """A decoded picture, as it lies in its file.

    Attributes:
        image: loaded; of several frames the first.
        frames: how many the file holds.
    """

    image: Image.Image
    frames: int


def read_image_file(stream: BinaryIO, name: str) -> ImageInFile:
    """Returns the picture of a file, every pixel of it decoded; call it within `StrictPillow`.

    Raises:
        ImageError: the file is of no listed format, or has over 50 megapixels, or none; or pixels are missing.
    """
    reader = _reader(stream.read(_HEAD_BYTES), name)
    try:
        stream.seek(0)
        image = reader(stream)
        check_size(*image.size, name)
        frames = _frames(image)
        load(image, stream)
    except ImageError:
        raise
    except Exception as error:
        from edgecnn_runtime.image_damage import without_damage  # only needed here, and it makes the import longer

        stream.seek(0)
        undamaged = without_damage(stream.read(), reader, name, error)
        if undamaged is None:
            raise
        image, frames = undamaged, _plain_frames(undamaged)
    return ImageInFile(image, frames)


def open_image_file(stream: BinaryIO, name: str) -> Image.Image:
    """Returns the picture of a file, not decoded yet; call it within `StrictPillow`.

    Raises:
        ImageError: the file is of no listed format, or has over 50 megapixels, or none.
        Exception: whatever Pillow raises on damaged files.
    """
    reader = _reader(stream.read(_HEAD_BYTES), name)
    stream.seek(0)
    image = reader(stream)
    check_size(*image.size, name)
    return image


def load(image: Image.Image, stream: BinaryIO | None) -> None:
    """Decodes a picture; a failed one is never taken for decoded afterwards, as Pillow does.

    Args:
        image: that Pillow opened, or made.
        stream: the file that it comes from, where there is one.

    Raises:
        ImageError: rows are missing that Pillow does not miss.
        Exception: whatever Pillow raises on damaged files.
    """
    tiles = list(getattr(image, "tile", ()))
    is_small = image.width * image.height <= _SMALL
    try:
        if tiles and not is_small:
            _fill(image, tiles)
        image.load()
        if tiles and stream is not None:
            _check(image, stream, is_small)
    except BaseException:
        if tiles:
            cast("ImageFile.ImageFile", image).tile = tiles
        raise


def check_size(width: int, height: int, name: str) -> None:
    """Refuses a picture of no pixels, or of too many.

    Raises:
        ImageError: it has no pixel, or over 50 megapixels.
    """
    if not 0 < width * height <= MAX_PIXELS:
        raise ImageError(
            f"{name}: expected 1 to {MAX_PIXELS // 1_000_000} megapixels, received {height} x {width} (height x width)"
        )


def is_image(head: bytes) -> bool:
    """Says whether a file that begins so is of a listed format; 64 bytes are enough."""
    return _recognise(head) is not None


def _reader(head: bytes, name: str) -> Callable[[BinaryIO], Image.Image]:
    """Returns the class of Pillow that reads files which start so."""
    found = _recognise(head)
    if found is None:
        from edgecnn_runtime.not_taken import frames_cure, is_video  # only needed here

        names = [each.name for each in _FORMATS if each.reader]
        received = f"a file that starts with {head[:12]!r}" if head else "an empty file"
        if head and is_video(head, name):
            received = f"a video, which is not read. {frames_cure(name)}"
        raise ImageError(f"{name}: expected an image ({', '.join(names[:-1])} or {names[-1]}), received {received}")
    if not found.reader:
        raise ImageError(
            f"{name}: expected a format that Pillow reads, received {found.name}. Convert it to JPEG, for example with "
            "`heif-convert`, or have the camera write JPEG (iPhone: Settings, Camera, Formats, Most Compatible)."
        )
    module_name, _, format_class = found.reader.partition(":")
    module = importlib.import_module(module_name)
    if not getattr(module, "SUPPORTED", True):
        raise ImageError(
            f"{name}: expected a format that this Pillow reads, received {found.name}, without which it was built. "
            "Install a Pillow wheel that has it, or convert the file to PNG."
        )
    return cast("Callable[[BinaryIO], Image.Image]", getattr(module, format_class))


def _recognise(head: bytes) -> _Format | None:
    for each in _FORMATS:
        for start, from_8 in each.starts:
            if head.startswith(start) and head[8:].startswith(from_8):
                return each
    if head[4:8] == b"ftyp":
        size = int.from_bytes(head[:4], "big")
        brands = [head[at : at + 4] for at in range(8, min(size, len(head)), 4) if at != 12]  # at 12: a version
        if b"avif" in brands or b"avis" in brands:
            return _AVIF
        if any(brand in _HEIC_BRANDS for brand in brands):
            return _HEIC
    return None


def _frames(image: Image.Image) -> int:
    """Counts the frames before the first is decoded: for GIF and TIFF, Pillow looks for them in the file."""
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # noqa: BLE001  (whatever Pillow raises on damage behind the first frame, which is answered)
        image.seek(0)
        return _plain_frames(image)


def _plain_frames(image: Image.Image) -> int:
    """Returns how many frames Pillow knows of without looking."""
    return max(1, int(vars(image).get("n_frames", 1) or 1))


def _check(image: Image.Image, stream: BinaryIO, is_small: bool) -> None:
    """Raises where a file was decoded that lacks rows, or whose pixels do not have their checksum."""
    if image.format == "PNG":
        from edgecnn_runtime.image_damage import check_png  # it makes the import longer

        check_png(_content(image, stream), rows=is_small or _looks_cut(image))
    elif _looks_cut(image):
        from edgecnn_runtime.image_damage import check_jpeg  # only on suspicion

        check_jpeg(_content(image, stream), type(image))


def _content(image: Image.Image, stream: BinaryIO) -> bytes:
    """Returns the bytes of the file, also where Pillow has closed it after decoding."""
    if not stream.closed:
        stream.seek(0)
        return stream.read()
    with open_regular_file(os.fsdecode(cast("ImageFile.ImageFile", image).filename)) as again:
        return again.read()


def _fill(image: Image.Image, tiles: Sequence[Any]) -> None:
    """Gives a PNG a background that is hardly ever a pixel's value, so that rows which nothing writes can be seen."""
    if image.format == "PNG" and image.tell() == 0 and tiles[0][1] == (0, 0, *image.size):
        bands = len(image.getbands())
        image.im = Image.new(image.mode, image.size, _BACKGROUND if bands == 1 else (_BACKGROUND,) * bands).im


def _looks_cut(image: Image.Image) -> bool:
    """Whether rows may be missing although Pillow did not complain.

    A PNG whose compressed data are whole and too few leaves the last rows as they were; a JPEG with an end marker too
    early leaves them in the middle of the range. So the last pixel says which pictures need the slow proof.
    """
    if image.format not in ("PNG", "JPEG", "MPO"):
        return False
    last = image.getpixel((image.width - 1, image.height - 1))
    levels = set(last) if isinstance(last, tuple) else {last}
    if image.format == "PNG":
        return levels <= {_BACKGROUND, 255 if image.mode == "1" else _BACKGROUND} or bool(image.info.get("interlace"))
    return levels <= {127, 128}
