"""Damaged pictures are refused or equal to the undamaged one (faults.md, rows 15 and 31); Pillow is the oracle."""

import io
import logging
import re
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from edgecnn_runtime import image_damage
from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.images import open_image

ENCODINGS = {
    "png": ("PNG", {}),
    "bmp": ("BMP", {}),
    "gif": ("GIF", {}),
    "webp": ("WEBP", {"lossless": True}),
    "lossy-webp": ("WEBP", {}),
    "jpeg": ("JPEG", {}),
    "progressive": ("JPEG", {"progressive": True}),
    "restarts": ("JPEG", {"restart_marker_rows": 1}),
    "tiff": ("TIFF", {}),
    "deflated-tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "avif": ("AVIF", {}),
}
MODES = {"png": ["RGB", "L", "P", "1", "RGBA", "LA"], "gif": ["P"], "bmp": ["RGB", "P", "1"]}
EACH = [(encoding, mode) for encoding in ENCODINGS for mode in MODES.get(encoding, ["RGB"])]


def noise(height=14, width=12, mode="RGB"):
    """A picture in which every row and byte counts."""
    pixels = np.random.default_rng(0).integers(1, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def decoded(data):
    """The pixels that our reader answers, or None where it refuses."""
    try:
        return np.asarray(open_image(data).convert("RGB"))
    except ImageError:
        return None


def pillow(data):
    """The pixels that a fresh Pillow object decodes, transparency on white; None where it refuses."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            image.load()
            layer = image.convert("RGBA")
            return np.asarray(Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"))
    except Exception:  # noqa: BLE001  (whatever it raises, it refuses)
        return None


def png(header, data, *extra):
    chunks = [(b"IHDR", header), *extra, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def chunk(kind, body, checksum=None):
    checksum = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


@pytest.mark.parametrize(("encoding", "mode"), EACH)
def test_a_file_cut_at_any_offset_is_refused_or_whole(encode, encoding, mode):
    file_format, options = ENCODINGS[encoding]
    data = encode(noise(mode=mode), file_format, **options)
    whole = decoded(data)
    np.testing.assert_array_equal(whole, pillow(data))
    answered = []
    for size in range(len(data)):
        found = decoded(data[:size])
        if found is not None:
            np.testing.assert_array_equal(found, whole)
            answered.append(len(data) - size)
    assert len(answered) <= 24  # a trailer without pixels: IEND, a GIF's end, a JPEG's end marker


@pytest.mark.parametrize(("encoding", "mode"), EACH)
def test_a_damaged_byte_is_refused_where_pillow_refuses_it(encode, encoding, mode):
    file_format, options = ENCODINGS[encoding]
    data = encode(noise(mode=mode), file_format, **options)
    whole = decoded(data)
    refused = 0
    for position in range(0, len(data), 3):
        for change in (0x01, 0x80):
            damaged = bytearray(data)
            damaged[position] ^= change
            found, expected = decoded(bytes(damaged)), pillow(bytes(damaged))
            refused += found is None
            if found is not None and expected is None:
                np.testing.assert_array_equal(found, whole)  # only metadata were damaged
            elif found is not None:
                np.testing.assert_array_equal(found, expected)
    assert refused


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_sixteen_damaged_bytes_in_a_png_are_refused(encode, mode):
    random = np.random.default_rng(1)
    picture = Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)) if mode == "I;16" else None
    data = encode(picture or noise(64, 64, mode))
    start, refused = data.index(b"IDAT") + 4, 0
    for position in random.integers(start, len(data) - 40, 20):
        damaged = bytearray(data)
        damaged[position : position + 16] = random.integers(0, 256, 16, dtype=np.uint8).tobytes()
        assert decoded(bytes(damaged)) is None
        refused += pillow(bytes(damaged)) is None
    assert refused >= 14  # Pillow takes what decompresses to as much as it needs, and more


# rows that Pillow does not miss


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(("bits", "colour", "channels"), [(8, 2, 3), (8, 0, 1), (16, 0, 1), (1, 0, 1), (8, 6, 4)])
@pytest.mark.parametrize("rows", [0, 1, 3, 14, 27])
def test_a_png_whose_data_end_before_its_last_row_is_refused(bits, colour, channels, interlaced, rows):
    header = struct.pack(">IIBBBBB", 28, 28, bits, colour, 0, 0, interlaced)
    row = b"\0" + b"\xc8" * ((28 * bits * channels + 7) // 8)
    assert decoded(png(header, zlib.compress(row * rows))) is None
    assert decoded(png(header, zlib.compress(row * rows), (b"tEXt", b"Comment\0text"))) is None


@pytest.mark.parametrize("level", [0, 165, 255])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "I;16"])
def test_a_whole_png_of_one_level_is_answered(encode, mode, level):
    picture = Image.new(mode, (28, 28), (level,) * len(mode) if mode in ("RGB", "RGBA") else level)
    data = encode(picture)
    assert decoded(data) is not None
    if mode != "I;16":
        np.testing.assert_array_equal(decoded(data), pillow(data))


@pytest.mark.parametrize("level", [0, 165])
def test_a_whole_interlaced_png_is_answered(level):
    sizes = [(4, 4), (3, 4), (7, 3), (7, 7), (14, 7), (14, 14), (28, 14)]  # the seven passes of 28 x 28
    data = b"".join((b"\0" + bytes([level]) * width) * rows for width, rows in sizes)
    whole = png(struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 1), zlib.compress(data))
    np.testing.assert_array_equal(pillow(whole), level)
    np.testing.assert_array_equal(decoded(whole), level)
    assert decoded(png(struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 1), zlib.compress(data[:-29]))) is None


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}, {"subsampling": 0}])
def test_a_jpeg_whose_end_marker_comes_early_never_lacks_a_row(encode, mode, options):
    data = encode(noise(40, 32, mode), "JPEG", **options)
    whole, answered = pillow(data), 0
    scan = data.index(b"\xff\xda") + 20
    for size in range(scan, len(data) - 2, 7):
        found = decoded(data[:size] + b"\xff\xd9")
        if found is not None:
            answered += 1
            np.testing.assert_array_equal(found[:15], whole[:15])  # the last blocks are damaged at most
    assert answered < 20
    assert decoded(data[: len(data) // 2] + b"\xff\xd9") is None


def test_a_progressive_jpeg_whose_first_scan_ends_early_is_refused(encode):
    data = encode(noise(64, 64), "JPEG", progressive=True)
    first = data.index(b"\xff\xda") + 14
    assert pillow(data[: first + 20] + b"\xff\xd9") is not None
    assert decoded(data[: first + 20] + b"\xff\xd9") is None


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_gray_jpeg_is_answered(encode, mode, options):
    data = encode(Image.new(mode, (40, 40), (128,) * 3 if mode == "RGB" else 128), "JPEG", **options)
    np.testing.assert_array_equal(decoded(data), 128)


# what is no damage of the picture


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(14, 12), (40, 32), (33, 17)])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_that_lacks_nothing_but_its_end_marker_is_answered(encode, caplog, mode, size, missing):
    data = encode(noise(*size, mode), "JPEG")
    np.testing.assert_array_equal(decoded(data[:-missing]), pillow(data))
    said = "image bytes: damaged where it holds no pixels" in caplog.text
    assert said == (pillow(data[:-missing]) is None)


def test_a_progressive_jpeg_without_its_end_marker_is_refused_for_scans_may_be_missing(encode):
    assert decoded(encode(noise(), "JPEG", progressive=True)[:-2]) is None


def damaged_text(data):
    return data[:33] + chunk(b"tEXt", b"Comment\0something", checksum=1) + data[33:]


def large_text(data):
    return data[:33] + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2_000_000))) + data[33:]


def short_resolution(data):
    return data[:33] + chunk(b"pHYs", b"\0\0\0") + data[33:]


@pytest.mark.parametrize("damage", [damaged_text, large_text, short_resolution])
def test_a_png_is_answered_whose_metadata_are_damaged(encode, caplog, damage, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(noise(), exif=exif)
    (tmp_path / "a.png").write_bytes(damage(data))
    assert pillow(damage(data)) is None
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.png")), decoded(data))
    assert f"{tmp_path}/a.png: damaged where it holds no pixels" in caplog.text


def test_a_png_is_answered_whose_text_speaks_of_pixels(encode):
    data = encode(noise())
    np.testing.assert_array_equal(
        decoded(data[:33] + chunk(b"tEXt", b"Comment\0an IDAT chunk") + data[33:]), decoded(data)
    )


def test_a_png_of_many_chunks_is_refused_where_one_of_them_is_damaged():
    header, content = struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0), zlib.compress(bytes(29 * 28), 0)
    pieces = [content[start : start + 100] for start in range(0, len(content), 100)]
    assert decoded(png(header, pieces[-1], *((b"IDAT", piece) for piece in pieces[:-1]))) is not None
    for damaged in range(len(pieces) - 1):
        chunks = [(b"IDAT", piece, *([1] if at == damaged else [])) for at, piece in enumerate(pieces[:-1])]
        assert decoded(png(header, pieces[-1], *chunks)) is None


def test_a_png_whose_transparency_is_damaged_is_refused():
    header = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)
    data = png(header, zlib.compress(bytes(6)), (b"tRNS", b"\0\0", 1))
    assert decoded(data) is None


@pytest.mark.parametrize(
    "segment",
    [b"\xff\xe2\x00\x0eICC_PROFILE\0", b"\xff\xed\x00\x16Photoshop 3.0\x008BIM\x04\x04"],
    ids=["ICC", "Photoshop"],
)
def test_a_jpeg_is_answered_whose_metadata_are_damaged(encode, segment):
    data = encode(noise(), "JPEG")
    damaged = data[:2] + segment + data[2:]
    assert pillow(damaged) is None
    np.testing.assert_array_equal(decoded(damaged), pillow(data))


# the rest of the process


def test_a_truncated_file_is_refused_also_where_the_process_takes_them(encode, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for file_format in ("PNG", "JPEG", "BMP"):
        data = encode(noise(64, 64), file_format)
        assert pillow(data[: len(data) // 2]) is not None
        assert decoded(data[: len(data) // 2]) is None
        assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_threads_leave_the_settings_of_the_process_as_they_were(encode, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = encode(noise(64, 64))
    before, answers = (warnings.showwarning, list(warnings.filters)), []
    threads = [
        threading.Thread(target=lambda: answers.extend(decoded(data[:9000]) is None for _ in range(50)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (warnings.showwarning, list(warnings.filters)) == before
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert answers == [True] * 200


def test_warnings_of_pillow_go_to_the_log_and_name_the_file(encode, tmp_path, caplog):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a maker's name"
    path.write_bytes(encode(noise(), "JPEG", exif=exif.tobytes()[:-12]))
    with (
        caplog.at_level(logging.WARNING, logger="edgecnn_runtime.images"),
        warnings.catch_warnings(record=True) as seen,
    ):
        warnings.simplefilter("always")
        open_image(path)
        open_image(path)
    assert seen == []
    assert len([record for record in caplog.records if record.getMessage().startswith(f"{path}: ")]) >= 2


def test_a_pillow_image_that_could_not_be_decoded_is_refused_again(encode):
    data = bytearray(encode(noise(64, 64)))
    data[data.index(b"IDAT") + 500 : data.index(b"IDAT") + 516] = bytes(16)
    image = Image.open(io.BytesIO(bytes(data)))
    for _ in range(3):
        with pytest.raises(ImageError):
            open_image(image)


def test_a_short_png_that_pillow_opened_is_refused(tmp_path):
    short = png(struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0), zlib.compress(bytes(29 * 3)))
    (tmp_path / "short.png").write_bytes(short)
    for source in (io.BytesIO(short), tmp_path / "short.png"):
        with Image.open(source) as image, pytest.raises(ImageError, match="last row"):
            open_image(image)


def test_a_palette_that_is_missing_is_an_image_error():
    data = png(struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0), zlib.compress(bytes(2)))
    with pytest.raises(ImageError, match="damaged"):
        open_image(data)


def test_a_lack_of_memory_in_pillow_is_an_image_error(encode, monkeypatch):
    def no_memory(_):
        raise MemoryError

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load_prepare", no_memory)
    with pytest.raises(ImageError, match=re.escape("image bytes: there is not enough memory")):
        open_image(encode(noise()))


@pytest.mark.timeout(60)  # it copied all that it had kept at each segment: hours for a file of 8 MB
def test_a_million_segments_are_left_out_at_once():
    data = b"\xff\xd8" + b"\xff\xdb\x00\x02" * 2_000_000 + b"\xff\xe5\x00\x04ab"
    assert image_damage._needed(data) == data[:-6]


@pytest.mark.parametrize("missing", [0, 1, 2000])
def test_rows_are_counted_in_one_large_chunk(missing):
    rows = bytes(np.random.default_rng(0).integers(0, 256, 301 * 600, np.uint8) * (np.arange(301 * 600) % 301 > 0))
    data = png(struct.pack(">IIBBBBB", 300, 600, 8, 0, 0, 0, 0), zlib.compress(rows[: len(rows) - missing]))
    assert image_damage._png_lacks_rows(data) == (missing > 0)
