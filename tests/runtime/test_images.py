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
        b"GIF89a\x01\x00\x01\x00",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"II*\x00\x08\x00\x00\x00",
    ],
)
def test_open_image_refuses_what_is_no_listed_format(data):
    with pytest.raises(ImageError, match=r"expected an image \(JPEG, PNG, WebP, BMP\), received") as caught:
        open_image(data)
    assert (caught.value.exit_code, caught.value.kind) == (1, "image")


def test_open_image_reads_tiff_only_on_request(photo, encode):
    data = encode(photo(), "TIFF")
    np.testing.assert_array_equal(pixels(open_image(data, tiff=True)), pixels(photo()))
    with pytest.raises(ImageError, match="expected an image"):
        open_image(data)


def test_open_image_reads_no_tiff_that_is_called_png(photo, encode, tmp_path):
    (tmp_path / "picture.png").write_bytes(encode(photo(), "TIFF"))
    with pytest.raises(ImageError, match="starts with b'II"):
        open_image(tmp_path / "picture.png")


@pytest.mark.parametrize("options", [{"format": "PNG"}, {"format": "BMP"}, {"format": "WEBP", "lossless": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_truncated_file_never_gives_half_a_picture(photo, encode, options, mode):
    data = encode(photo(30, 20, mode), options["format"], **{k: v for k, v in options.items() if k != "format"})
    whole = pixels(open_image(data))
    refused = 0
    for size in range(len(data)):
        try:
            np.testing.assert_array_equal(pixels(open_image(data[:size])), whole)
        except ImageError:
            refused += 1
    assert refused >= len(data) - 24  # the last bytes may be a trailer without pixels


@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_never_gives_half_a_picture(photo, encode, progressive):
    data = encode(photo(64, 48), "JPEG", progressive=progressive, quality=90)
    whole = pixels(open_image(data))
    refused = 0
    for size in range(len(data)):
        try:
            np.testing.assert_array_equal(pixels(open_image(data[:size])), whole)
        except ImageError:
            refused += 1
    assert refused >= len(data) - 2


@given(st.sampled_from(FORMATS), st.integers(0, 10_000), st.integers(0, 255), st.binary(max_size=8))
def test_a_damaged_file_gives_a_picture_or_an_image_error(photo, encode, file_format, position, value, junk):
    data = bytearray(encode(photo(20, 24), file_format))
    position %= len(data)
    data[position] = value
    data[position + 1 : position + 1 + len(junk)] = junk
    try:
        assert open_image(bytes(data)).mode in ("RGB", "L")
    except ImageError as error:
        assert str(error)  # noqa: PT017  (either is right)


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


# faults.md, row 17


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_gives_the_upright_picture(photo, encode, orientation, file_format):
    upright = photo(16, 32)  # multiples of 8: a turned JPEG has the same blocks
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what undoes each is the camera's own turn
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(turns[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if file_format == "JPEG" else {"lossless": True}
    opened = open_image(encode(stored, file_format, exif=exif, **(options if file_format != "PNG" else {})))
    assert opened.size == upright.size
    np.testing.assert_allclose(pixels(opened).astype(int), pixels(upright), atol=8 if file_format == "JPEG" else 0)


def test_exif_orientation_is_undone_for_a_pillow_picture_too(photo, encode):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(photo(), "PNG", exif=exif)
    np.testing.assert_array_equal(pixels(open_image(Image.open(io.BytesIO(data)))), pixels(open_image(data)))
    assert open_image(data).size == (40, 60)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(photo, encode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert open_image(encode(photo(), "PNG", exif=exif)).size == photo().size


def test_exif_that_cannot_be_read_turns_nothing(photo, encode):
    data = encode(photo(), "JPEG", exif=b"Exif\0\0this is no EXIF at all")
    assert open_image(data).size == photo().size


def test_cmyk_is_converted(photo, encode):
    opened = open_image(encode(photo(mode="CMYK"), "JPEG", quality=95))
    assert opened.mode == "RGB"
    np.testing.assert_allclose(pixels(opened).astype(int), pixels(photo()), atol=12)


def test_16_bit_gray_is_scaled_where_pillow_clips(encode):
    levels = np.array([[0, 128, 129, 257, 32896, 65535]], dtype=np.uint16)
    opened = open_image(encode(Image.fromarray(levels)))
    assert pixels(opened).tolist() == [[0, 0, 1, 1, 128, 255]]


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I"])
def test_16_bit_gray_is_scaled_in_each_byte_order(mode):
    values = np.array([[0, 257, 65535]])
    byte_order = {"I;16B": ">u2", "I": "=i4"}.get(mode, "<u2")
    picture = Image.frombytes(mode, (3, 1), values.astype(byte_order).tobytes())
    assert pixels(open_image(picture)).tolist() == [[0, 1, 255]]


def test_16_bit_gray_with_a_transparent_level_is_white_there(encode):
    data = encode(Image.fromarray(np.array([[0, 257, 514]], dtype=np.uint16)), transparency=257)
    assert pixels(open_image(data)).tolist() == [[0, 255, 2]]


def test_32_bit_gray_out_of_range_is_refused():
    with pytest.raises(ImageError, match="expected gray levels from 0 to 65535, received -1 to 70000"):
        open_image(Image.fromarray(np.array([[-1, 70000]], dtype=np.int32)))


def test_floating_point_is_refused():
    with pytest.raises(ImageError, match="received floating point"):
        open_image(Image.fromarray(np.zeros((2, 2), dtype=np.float32)))


def test_1_bit_is_black_and_white(encode):
    opened = open_image(encode(Image.fromarray(np.array([[True, False]]))))
    assert (opened.mode, pixels(opened).tolist()) == ("L", [[255, 0]])


def test_a_palette_gives_its_colours(photo, encode):
    picture = photo().quantize(16)
    np.testing.assert_array_equal(pixels(open_image(encode(picture))), pixels(picture.convert("RGB")))


def test_a_transparent_palette_entry_is_white(encode):
    picture = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
    picture.putpalette([10, 20, 30, 40, 50, 60])
    assert pixels(open_image(encode(picture, transparency=0))).tolist() == [[[255, 255, 255], [40, 50, 60]]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_on_white(encode, mode):
    levels = [[[0] * (len(mode) - 1) + [alpha] for alpha in (255, 0, 128)]]
    opened = open_image(encode(Image.fromarray(np.array(levels, dtype=np.uint8), mode)))
    assert opened.mode == "RGB"
    assert pixels(opened)[0, :, 0].tolist() == [0, 255, 127]


def test_a_transparent_colour_is_white(encode):
    picture = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    assert pixels(open_image(encode(picture, transparency=(1, 2, 3)))).tolist() == [[[255, 255, 255], [4, 5, 6]]]


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_the_first_frame_of_an_animation_counts(photo, encode, file_format):
    first, second = photo(), Image.new("RGB", photo().size, "red")
    data = encode(first, file_format, save_all=True, append_images=[second], lossless=True)
    np.testing.assert_array_equal(pixels(open_image(data)), pixels(first))


def test_the_first_picture_of_a_multi_picture_jpeg_counts(photo, encode):
    data = encode(photo(), "MPO", save_all=True, append_images=[Image.new("RGB", photo().size, "red")])
    np.testing.assert_allclose(pixels(open_image(data)).astype(int), pixels(photo()), atol=40)


# faults.md, row 18


@pytest.mark.parametrize("size", [(1, 1), (65500, 1), (1, 65500)])
def test_extreme_shapes_are_read(encode, size):
    assert open_image(encode(Image.new("RGB", size, "blue"), "JPEG")).size == size


def test_a_png_without_pixels_is_refused():
    with pytest.raises(ImageError):
        open_image(png_of_header(0, 0))
