"""What open_image makes of turned, transparent, 16-bit, CMYK, palette and animated pictures (faults.md, row 17)."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.images import open_image, open_picture


def pixels(image):
    return np.asarray(image)


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


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_path_its_bytes_and_its_opened_pillow_picture_are_turned_alike(photo, encode, tmp_path, file_format):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(photo(), file_format, exif=exif)
    (tmp_path / "a").write_bytes(data)
    answer = pixels(open_image(data))
    assert answer.shape[:2] == (60, 40)
    for source in (tmp_path / "a", Image.open(tmp_path / "a"), Image.open(io.BytesIO(data))):
        np.testing.assert_array_equal(pixels(open_image(source)), answer)
    loaded = Image.open(io.BytesIO(data))
    loaded.load()
    loaded.thumbnail((1000, 1000))
    np.testing.assert_array_equal(pixels(open_image(loaded)), answer)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    "make",
    [
        lambda image: image.rotate(-90, expand=True),
        lambda image: image.transpose(Image.Transpose.ROTATE_270),
        lambda image: image.resize((7, 5)),
        lambda image: image.convert("L"),
        lambda image: image.copy(),
        lambda image: image.crop((1, 2, 30, 20)),
        lambda image: ImageOps.exif_transpose(image),
    ],
    ids=["rotate", "transpose", "resize", "convert", "copy", "crop", "exif_transpose"],
)
def test_a_picture_made_from_another_is_taken_as_it_is(photo, encode, file_format, make):
    exif = Image.Exif()
    exif[0x0112] = 6
    made = make(Image.open(io.BytesIO(encode(photo(), file_format, exif=exif))))
    np.testing.assert_array_equal(pixels(open_image(made)), pixels(made))


def test_a_picture_that_was_turned_in_place_is_not_turned_again(photo, encode):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(encode(photo(), "PNG", exif=exif)))
    ImageOps.exif_transpose(image, in_place=True)
    assert open_image(image).size == (40, 60)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(photo, encode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert open_image(encode(photo(), "PNG", exif=exif)).size == photo().size


@pytest.mark.parametrize("cut", [None, 9, 16, 20])
def test_exif_that_cannot_be_read_turns_nothing(photo, encode, cut):
    exif = Image.Exif()
    exif[0x0112] = 6
    block = b"Exif\0\0this is no EXIF at all" if cut is None else exif.tobytes()[:cut]
    assert open_image(encode(photo(), "JPEG", exif=block)).size == photo().size


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


@pytest.mark.parametrize(
    ("file_format", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("GIF", {})],
)
def test_the_first_frame_counts_and_the_others_are_counted(photo, encode, file_format, options):
    first = photo().quantize(16).convert("RGB") if file_format == "GIF" else photo()
    others = [Image.new("RGB", photo().size, color) for color in ("red", "blue")]
    data = encode(first, file_format, save_all=True, append_images=others, **options)
    opened = open_picture(data)
    np.testing.assert_array_equal(pixels(opened.image.convert("RGB")), pixels(first))
    assert opened.frames == 3
    assert open_picture(encode(first, file_format, **options)).frames == 1


@pytest.mark.parametrize("file_format", ["GIF", "TIFF"])
def test_damage_behind_the_first_frame_is_no_damage_of_it(photo, encode, file_format):
    first = photo().quantize(16).convert("RGB")
    data = encode(first, file_format, save_all=True, append_images=[Image.new("RGB", first.size, "red")] * 2)
    np.testing.assert_array_equal(pixels(open_image(data[:-40]).convert("RGB")), pixels(first))


def test_a_transparent_gif_is_laid_on_white(encode):
    picture = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
    picture.putpalette([10, 20, 30, 40, 50, 60])
    assert pixels(open_image(encode(picture, "GIF", transparency=0))).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_the_first_picture_of_a_multi_picture_jpeg_counts(photo, encode):
    data = encode(photo(), "MPO", save_all=True, append_images=[Image.new("RGB", photo().size, "red")])
    np.testing.assert_allclose(pixels(open_image(data)).astype(int), pixels(photo()), atol=40)
