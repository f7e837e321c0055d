import io
import os
import struct
import zlib

import pytest
from PIL import Image

from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.images import open_image, read_shape

FORMATS = ["JPEG", "PNG", "WebP", "TIFF", *(["AVIF"] if "AVIF" in Image.registered_extensions().values() else [])]


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
@pytest.mark.parametrize("format", FORMATS)
def test_read_shape_is_that_of_the_decoded_picture(tmp_path, format, orientation):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    path = tmp_path / "picture"
    Image.effect_noise((20, 12), 50).convert("RGB").save(path, format=format, exif=exif)
    image = open_image(path)
    assert read_shape(path) == (image.height, image.width)
    if orientation in (5, 6, 7, 8):
        assert read_shape(path) == (20, 12)


@pytest.mark.parametrize("format", ["BMP", "GIF"])
def test_read_shape_takes_formats_without_exif(tmp_path, format):
    Image.new("RGB", (20, 12)).save(tmp_path / "picture", format=format)
    assert read_shape(tmp_path / "picture") == (12, 20)


def test_read_shape_finds_a_turn_behind_the_pixels_of_a_png(tmp_path):
    plain, turn = io.BytesIO(), Image.Exif()
    turn[0x0112] = 6
    Image.new("RGB", (20, 12)).save(plain, format="PNG")
    data = turn.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    path = tmp_path / "late.png"
    path.write_bytes(plain.getvalue()[:-12] + chunk + plain.getvalue()[-12:])
    assert read_shape(path) == (20, 12) == open_image(path).size[::-1]


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_read_shape_refuses_what_is_no_picture(tmp_path, content):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"bad\.png"):
        read_shape(tmp_path / "bad.png")


def test_read_shape_refuses_a_missing_file_and_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("none.png", "pipe.png"):
        with pytest.raises(ImageError, match=name):
            read_shape(tmp_path / name)
