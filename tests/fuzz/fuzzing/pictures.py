"""Pictures of every format that is read; Pillow by itself is the other reader."""

import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import model_files
import numpy as np
from fuzzing.harness import Target
from PIL import Image, UnidentifiedImageError

from edgecnn_runtime.images import open_image

_ORIENTATION = 0x0112
_MEMORY_MB = 900  # 50 megapixels, in colour, and once more while they are converted

# name -> Pillow's format, modes, sets of options, tokens
_FORMATS: dict[str, tuple[str, tuple[str, ...], tuple[dict[str, object], ...], tuple[bytes, ...]]] = {
    "png": (
        "PNG",
        ("RGB", "P", "1", "LA", "I;16"),
        ({},),
        (b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"eXIf", b"iCCP", b"zTXt", b"iTXt"),
    ),
    "jpeg": (
        "JPEG",
        ("RGB", "L", "CMYK"),
        ({"quality": 40}, {"progressive": True}, {"restart_marker_rows": 1}),
        (
            b"\xff\xd8",
            b"\xff\xd9",
            b"\xff\xda",
            b"\xff\xc0",
            b"\xff\xc4",
            b"\xff\xd0",
            b"\xff\xe1\x00\x10Exif\0\0",
            b"\xff\xee",
        ),
    ),
    "gif": ("GIF", ("P", "L"), ({},), (b"\x21\xf9\x04", b"\x21\xff\x0bNETSCAPE2.0", b"\x2c", b"\x3b")),
    "bmp": ("BMP", ("RGB", "P", "1"), ({},), (b"BM", b"\x28\0\0\0", b"\x7c\0\0\0", b"\x03\0\0\0")),
    "webp": (
        "WEBP",
        ("RGB", "RGBA"),
        ({"lossless": True}, {"quality": 50}),
        (b"RIFF", b"VP8 ", b"VP8L", b"VP8X", b"ANIM"),
    ),
    "tiff": (
        "TIFF",
        ("RGB", "L", "I;16"),
        ({}, {"compression": "tiff_adobe_deflate"}, {"compression": "tiff_lzw"}),
        (b"II*\0", b"MM\0*", b"II+\0", b"\x00\x01", b"\x01\x01", b"\x11\x01", b"\x17\x01", b"\x4a\x01"),
    ),
    "avif": ("AVIF", ("RGB",), ({},), (b"ftyp", b"avif", b"meta", b"iloc", b"mdat", b"av1C", b"ispe")),
}
_SHARES = {"png": 6000, "jpeg": 5000, "gif": 4000, "bmp": 4000, "webp": 4000, "tiff": 2000, "avif": 2000}


def targets(folder: Path) -> Iterator[Target]:
    del folder
    for name, (format, modes, options, tokens) in _FORMATS.items():
        seeds = [_encoded(mode, format, **chosen) for mode in modes for chosen in options]
        compare = _as_pillow(forgives=name in ("png", "jpeg"), by_all_brands=name == "avif")
        yield Target(name, seeds, _read, _SHARES[name], compare=compare, tokens=tokens, memory_mb=_MEMORY_MB)


def _encoded(mode: str, format: str, **options: object) -> bytes:
    picture = model_files.photo(9, 14)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    return model_files.encode(picture if mode == "I;16" else picture.convert(mode), format, **options)


def _read(data: bytes) -> Image.Image:
    return open_image(data)


def _as_pillow(*, forgives: bool, by_all_brands: bool) -> Callable[[bytes, object], None]:
    """Compares with a fresh Pillow.

    Args:
        forgives: whether we answer where Pillow refuses, because the damage touches no pixel (ADR 17).
        by_all_brands: whether we know a file by any of its brands, where Pillow looks at the first alone.
    """

    def compare(data: bytes, result: object) -> None:
        if not isinstance(result, Image.Image):
            return
        try:
            theirs = _pillow(data)
        except UnidentifiedImageError as error:
            if not (forgives or by_all_brands):
                raise AssertionError(f"Pillow refuses: {error!r}") from error
            return
        except Exception as error:
            if not forgives:
                raise AssertionError(f"Pillow refuses: {error!r}") from error
            return
        if theirs is not None:
            assert np.array_equal(np.asarray(result.convert("RGB")), theirs), "Pillow decodes other pixels"

    return compare


def _pillow(data: bytes) -> np.ndarray | None:
    """Returns Pillow's pixels on white; None where a turn or 16 bits make ours others by design."""
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
        image.load()
        if image.mode not in ("1", "L", "P", "RGB", "LA", "RGBA", "CMYK") or image.getexif().get(_ORIENTATION, 1) != 1:
            return None
        if not image.has_transparency_data:
            return np.asarray(image.convert("RGB"))
        layer = image.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"))
