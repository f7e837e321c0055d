import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.images import MAX_PIXELS, open_image

FORMATS = ["PNG", "JPEG", "WEBP", "BMP"]


def pixels(image):
    return np.asarray(image)


def png_of_header(width, height, rows=b""):
    """A PNG that declares a size; its pixel data is what is given."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_open_image_decodes_as_pillow_does(photo, encode, file_format, mode):
    data = encode(photo(mode=mode), file_format)
    expected = pixels(Image.open(io.BytesIO(data)))
    opened = open_image(data)
    if file_format == "WEBP":  # it knows no gray
        expected, opened = expected, opened.convert("RGB")
    np.testing.assert_array_equal(pixels(opened), expected)


def test_open_image_takes_path_bytes_picture_and_array_alike(photo, encode, tmp_path):
    data = encode(photo())
    (tmp_path / "photo").write_bytes(data)
    sources = [tmp_path / "photo", str(tmp_path / "photo"), data, photo(), pixels(photo())]
    for source in sources:
        np.testing.assert_array_equal(pixels(open_image(source)), pixels(photo()))


def test_open_image_leaves_the_callers_picture_as_it_is(photo):
    picture = photo(mode="RGBA")
    before = picture.tobytes()
    open_image(picture)
    assert (picture.mode, picture.tobytes()) == ("RGBA", before)


@pytest.mark.parametrize("source", [None, 3, [[1, 2]], bytearray(b"x"), io.BytesIO(b"x")])
def test_open_image_refuses_other_types(source):
    with pytest.raises(TypeError, match="expected a path, bytes, a Pillow image or a uint8 array, received"):
        open_image(source)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2), np.float32), "expected dtype uint8, received float32"),
        (np.zeros((2, 2), ">u2"), "expected dtype uint8, received >u2"),
        (np.zeros((2, 2, 4), np.uint8), r"expected shape \(H, W\).*received \(2, 2, 4\)"),
        (np.zeros((1, 2, 2, 3), np.uint8), r"received \(1, 2, 2, 3\)"),
        (np.zeros(4, np.uint8), r"received \(4,\)"),
        (np.zeros((0, 2), np.uint8), "expected 1 to 50 megapixels, received 0 x 2"),
        (np.broadcast_to(np.uint8(0), (10_000, 6_000)), "received 10000 x 6000"),
    ],
)
def test_open_image_names_what_an_array_should_be(array, message):
    with pytest.raises(ImageError, match=message):
        open_image(array)


def test_open_image_names_a_path_that_cannot_be_read(tmp_path):
    with pytest.raises(ImageError, match=r"missing\.png: .*No such file"):
        open_image(tmp_path / "missing.png")


def test_open_image_refuses_a_fifo_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "fifo.png")
    with pytest.raises(ImageError, match="FIFO"):
        open_image(tmp_path / "fifo.png")


# faults.md, row 15


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain text, no picture",
        b"<html><body></body></html>",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"RIFF\x00\x00\x00\x00WAVE",
    ],
)
def test_open_image_refuses_what_is_no_listed_format(data):
    with pytest.raises(ImageError, match=r"expected an image \(JPEG, PNG, .* or AVIF\), received") as caught:
        open_image(data)
    assert (caught.value.exit_code, caught.value.kind) == (1, "image")


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"hevc"])
def test_open_image_says_what_to_do_with_heic(brand):
    with pytest.raises(ImageError, match=r"received HEIC\. Convert it to JPEG"):
        open_image(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic")


def test_open_image_says_what_to_do_where_pillow_lacks_avif(photo, encode, monkeypatch):
    data = encode(photo(), "AVIF")
    monkeypatch.setattr("PIL.AvifImagePlugin.SUPPORTED", False)
    with pytest.raises(ImageError, match="received AVIF, without which it was built"):
        open_image(data)


@pytest.mark.parametrize(("file_format", "name"), [("TIFF", "a.png"), ("GIF", "a.jpg"), ("JPEG", "a.jfif")])
def test_open_image_goes_by_the_first_bytes_whatever_the_name(photo, encode, tmp_path, file_format, name):
    (tmp_path / name).write_bytes(encode(photo(), file_format))
    np.testing.assert_allclose(pixels(open_image(tmp_path / name)).astype(int), pixels(photo()), atol=40)


@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBP", b"BM"]), st.binary(max_size=300))
def test_junk_after_a_signature_is_an_image_error(signature, junk):
    with pytest.raises(ImageError):
        open_image(signature + junk)


# faults.md, row 16


def test_a_decompression_bomb_is_refused_by_its_header():
    bomb = png_of_header(13_000, 13_000)
    with pytest.raises(ImageError, match="expected 1 to 50 megapixels, received 13000 x 13000"):
        open_image(bomb)


def test_a_whole_decompression_bomb_is_refused_in_bounded_memory(tmp_path, run_python):
    (tmp_path / "bomb.png").write_bytes(png_of_header(13_000, 13_000, bytes(13_000 * 13_001)))
    assert (tmp_path / "bomb.png").stat().st_size < 500_000
    code = """
        import resource, sys
        from edgecnn_runtime.images import open_image
        from edgecnn_runtime import ImageError
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            open_image(sys.argv[1])
        except ImageError:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = run_python(code, str(tmp_path / "bomb.png"))
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) < 30_000  # KiB; decoded it has 165,000


@pytest.mark.parametrize(("file_format", "options"), [("JPEG", {}), ("WEBP", {"quality": 0, "method": 0}), ("BMP", {})])
def test_the_limit_holds_for_every_format(encode, file_format, options):
    data = encode(Image.new("L", (8000, 6251)), file_format, **options)
    with pytest.raises(ImageError, match="received 6251 x 8000"):
        open_image(data)


def test_the_limit_is_fifty_megapixels(encode):
    assert MAX_PIXELS == 50_000_000
    assert open_image(encode(Image.new("L", (8000, 6250)), compress_level=1)).size == (8000, 6250)


# faults.md, row 18


@pytest.mark.parametrize("size", [(1, 1), (65500, 1), (1, 65500)])
def test_extreme_shapes_are_read(encode, size):
    assert open_image(encode(Image.new("RGB", size, "blue"), "JPEG")).size == size


def test_a_png_without_pixels_is_refused():
    with pytest.raises(ImageError):
        open_image(png_of_header(0, 0))
