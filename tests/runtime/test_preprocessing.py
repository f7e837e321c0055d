import io

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.manifest import ImageInput
from edgecnn_runtime.preprocessing import Placement, Preprocessor

SIDES = st.integers(1, 300)
RESIZES = st.sampled_from(["stretch", "letterbox", "center_crop"])


def preprocessor(height=8, width=8, color="rgb", resize="stretch", crop_fraction=None, multiple_of=None):
    if resize == "center_crop" and crop_fraction is None:
        crop_fraction = 0.875
    pad_value = 114 if resize == "letterbox" else None
    return Preprocessor(ImageInput("image", height, width, color, resize, crop_fraction, pad_value, multiple_of))


def one_pixel_means(pixels, placement, x, y):
    """The input's pixel that holds a point of the image."""
    column, row = np.floor(placement.to_input(np.array([x, y]))).astype(int)
    return pixels[0, row, column]


@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_stretch_is_pillow_bilinear(photo, color):
    pixels, placement = preprocessor(7, 9, color)(photo(40, 60))
    mode = {"rgb": "RGB", "gray": "L"}[color]
    expected = np.asarray(photo(40, 60).convert(mode).resize((9, 7), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(pixels[0], expected.reshape(7, 9, -1))
    assert pixels.dtype == np.uint8
    assert placement == Placement((40, 60), (7 / 40, 9 / 60), (0.0, 0.0))


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "center_crop"])
@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_a_path_its_bytes_its_picture_and_its_array_give_equal_pixels(photo, encode, tmp_path, resize, color):
    data = encode(photo())
    (tmp_path / "photo.png").write_bytes(data)
    prepare = preprocessor(color=color, resize=resize)
    expected, expected_placement = prepare(np.asarray(photo()))
    for source in (tmp_path / "photo.png", data, photo(), Image.open(io.BytesIO(data))):
        pixels, placement = prepare(source)
        np.testing.assert_array_equal(pixels, expected)
        assert placement == expected_placement


def test_gray_arrays_with_and_without_a_channel_axis_give_equal_pixels(photo):
    gray = np.asarray(photo(mode="L"))
    for color in ("rgb", "gray"):
        prepare = preprocessor(color=color)
        np.testing.assert_array_equal(prepare(gray)[0], prepare(gray[:, :, np.newaxis])[0])


def test_gray_becomes_three_equal_channels_for_an_rgb_input(photo):
    pixels, _ = preprocessor(40, 60)(np.asarray(photo(mode="L")))
    for channel in range(3):
        np.testing.assert_array_equal(pixels[0, :, :, channel], np.asarray(photo(mode="L")))


@pytest.mark.parametrize(("color", "mode"), [("rgb", "RGB"), ("gray", "L")])
def test_an_array_that_fits_is_not_copied(photo, color, mode):
    array = np.asarray(photo(8, 8, mode))
    pixels, placement = preprocessor(color=color)(array)
    assert np.shares_memory(pixels, array)
    np.testing.assert_array_equal(pixels.squeeze(), array)
    assert placement == Placement((8, 8), (1.0, 1.0), (0.0, 0.0))


def test_an_array_that_fits_but_is_not_contiguous_is_made_so(photo):
    array = np.asarray(photo(8, 16))[:, ::2]
    pixels, _ = preprocessor()(array)
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels[0], array)


def test_center_crop_scales_even_an_image_of_the_inputs_size(photo):
    pixels, placement = preprocessor(8, 8, resize="center_crop", crop_fraction=0.5)(np.asarray(photo(8, 8)))
    assert placement == Placement((8, 8), (2.0, 2.0), (-4.0, -4.0))
    assert not np.array_equal(pixels[0], np.asarray(photo(8, 8)))


def test_letterbox_pads_equally_and_keeps_the_aspect_ratio():
    pixels, placement = preprocessor(10, 10, resize="letterbox")(np.full((20, 40, 3), 200, np.uint8))
    assert placement == Placement((20, 40), (0.25, 0.25), (2.0, 0.0))
    assert pixels[0, :, 0, 0].tolist() == [114] * 2 + [200] * 5 + [114] * 3


def test_letterbox_keeps_at_least_one_pixel():
    pixels, placement = preprocessor(10, 10, resize="letterbox")(np.full((1, 1000), 200, np.uint8))
    assert pixels[0, :, 0, 0].tolist() == [114] * 4 + [200] + [114] * 5
    assert placement.scale == (1.0, 0.01)


def test_center_crop_equals_resize_then_crop():
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    pixels, placement = preprocessor(96, 96, resize="center_crop", crop_fraction=0.96)(noise)
    scaled = Image.fromarray(noise).resize((133, 100), Image.Resampling.BILINEAR)  # 400 * 100 / 300 = 133.3
    expected = np.asarray(scaled.crop((18, 2, 114, 98)))
    assert placement == Placement((300, 400), (1 / 3, 1 / 3), (pytest.approx(-2.0), pytest.approx(-56 / 3)))
    # A third of a pixel was rounded away in the two-step form, so the rows agree and the columns nearly do.
    assert np.abs(pixels[0].mean(axis=1).astype(float) - expected.mean(axis=1)).max() < 2


def test_center_crop_of_a_whole_factor_is_exactly_resize_then_crop():
    noise = np.random.default_rng(0).integers(0, 256, (200, 400, 3), dtype=np.uint8)
    pixels, _ = preprocessor(96, 96, resize="center_crop", crop_fraction=0.96)(noise)
    expected = Image.fromarray(noise).resize((200, 100), Image.Resampling.BILINEAR).crop((52, 2, 148, 98))
    np.testing.assert_array_equal(pixels[0], np.asarray(expected))


@pytest.mark.parametrize(("crop_fraction", "shorter"), [(0.875, 256), (0.9, 249), (1.0, 224)])
def test_center_crop_rounds_the_shorter_side(crop_fraction, shorter):
    prepare = preprocessor(224, 224, resize="center_crop", crop_fraction=crop_fraction)
    _, placement = prepare(np.zeros((500, 600), np.uint8))
    assert placement.scale[0] == pytest.approx(shorter / 500)


def test_center_crop_of_a_line_needs_no_huge_picture():
    pixels, _ = preprocessor(224, 224, resize="center_crop")(np.full((1, 65500), 7, np.uint8))
    assert pixels.shape == (1, 224, 224, 3)
    assert (pixels == 7).all()


@pytest.mark.parametrize(
    ("size", "expected"), [((1, 1), (32, 32)), ((47, 48), (32, 64)), ((100, 640), (96, 640)), ((15, 31), (32, 32))]
)
def test_free_sizes_become_the_nearest_multiple(size, expected):
    prepare = preprocessor(None, None, multiple_of=32)
    pixels, placement = prepare(np.zeros(size, np.uint8))
    assert pixels.shape == (1, *expected, 3)
    assert placement.scale == (expected[0] / size[0], expected[1] / size[1])


def test_one_free_size_leaves_the_other_fixed():
    pixels, _ = preprocessor(16, None, multiple_of=10)(np.zeros((50, 44), np.uint8))
    assert pixels.shape == (1, 16, 40, 3)


def test_a_free_size_is_bounded():
    with pytest.raises(ImageError, match=r"its input would be 60000 x 1024"):
        preprocessor(None, 1024, multiple_of=60_000)(np.zeros((2, 2), np.uint8))


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 16), st.sampled_from(["rgb", "gray"]))
def test_padding_is_numpys_reflection_up_to_the_next_multiple(height, width, step, color):
    channels = {"rgb": 3, "gray": 1}[color]
    image = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    prepare = preprocessor(None, None, color, "pad", multiple_of=step)
    if min(height, width) < step:
        with pytest.raises(ImageError, match=rf"image of {height} x {width}: expected .* of {step} pixels or more"):
            prepare(image)
        return
    pixels, placement = prepare(image)
    missing = [(0, -side % step) for side in (height, width)]
    np.testing.assert_array_equal(pixels[0], np.pad(image, [*missing, (0, 0)], mode="reflect"))
    assert pixels.flags.c_contiguous
    assert placement == Placement((height, width), (1.0, 1.0), (0.0, 0.0))


@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_a_padded_path_its_bytes_its_picture_and_its_array_give_equal_pixels(photo, encode, tmp_path, color):
    data = encode(photo())
    (tmp_path / "photo.png").write_bytes(data)
    prepare = preprocessor(None, None, color, "pad", multiple_of=32)
    expected, placement = prepare(np.asarray(photo()))
    assert expected.shape[1:3] == (64, 64)
    for source in (tmp_path / "photo.png", data, photo(), Image.open(io.BytesIO(data))):
        pixels, other = prepare(source)
        np.testing.assert_array_equal(pixels, expected)
        assert other == placement


def test_an_array_that_needs_no_padding_is_not_copied(photo):
    array = np.asarray(photo(32, 64))
    assert np.shares_memory(preprocessor(None, None, resize="pad", multiple_of=32)(array)[0], array)


@pytest.mark.parametrize("size", [(1, 1), (31, 500), (500, 31)])
def test_an_image_below_the_least_input_is_not_padded(size, encode):
    prepare = preprocessor(None, None, resize="pad", multiple_of=32)
    for source in (np.zeros(size, np.uint8), encode(Image.new("L", size[::-1]))):
        with pytest.raises(ImageError, match=rf"image of {size[0]} x {size[1]}: expected a height and width of 32"):
            prepare(source)


def test_a_padded_size_is_bounded():
    with pytest.raises(ImageError, match="its input would be 60000 x 1024"):
        preprocessor(None, None, resize="pad", multiple_of=1).target_size(60_000, 1024)


@given(SIDES, SIDES, SIDES, SIDES, RESIZES, st.floats(0.05, 1.0))
@example(1, 29, 1, 71, "center_crop", 1.0)  # a rounding error left the image
def test_placement_there_and_back_is_the_identity(height, width, input_height, input_width, resize, crop_fraction):
    prepare = preprocessor(
        input_height, input_width, resize=resize, crop_fraction=crop_fraction if resize == "center_crop" else None
    )
    pixels, placement = prepare(np.zeros((height, width), np.uint8))
    assert pixels.shape == (1, input_height, input_width, 3)
    assert placement.image_size == (height, width)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height], [width / 3, height / 5]])
    np.testing.assert_allclose(placement.to_image(placement.to_input(corners)), corners, atol=1e-6)


@given(SIDES, SIDES, SIDES, SIDES)
def test_letterbox_fits_the_image_into_the_input(height, width, input_height, input_width):
    prepare = preprocessor(input_height, input_width, resize="letterbox")
    _, placement = prepare(np.zeros((height, width), np.uint8))
    (left, top), (right, bottom) = placement.to_input(np.array([[0, 0], [width, height]]))
    assert left >= 0
    assert top >= 0
    assert right <= input_width + 1e-6
    assert bottom <= input_height + 1e-6
    assert right - left == pytest.approx(input_width) or bottom - top == pytest.approx(input_height)
    assert abs((left + right) - input_width) <= 1 + 1e-6  # in the middle, within half a pixel
    assert abs((top + bottom) - input_height) <= 1 + 1e-6


@given(SIDES, SIDES, SIDES, SIDES, st.floats(0.05, 1.0))
@example(3, 53, 1, 19, 1.0)
def test_center_crop_shows_the_middle_of_the_image_and_nothing_else(height, width, input_height, input_width, fraction):
    prepare = preprocessor(input_height, input_width, resize="center_crop", crop_fraction=fraction)
    _, placement = prepare(np.zeros((height, width), np.uint8))
    (left, top), (right, bottom) = placement.to_image(np.array([[0, 0], [input_width, input_height]]))
    assert left >= -1e-6
    assert top >= -1e-6
    assert right <= width + 1e-6
    assert bottom <= height + 1e-6
    assert left + right == pytest.approx(width)
    assert top + bottom == pytest.approx(height)


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "center_crop"])
@pytest.mark.parametrize("size", [(60, 200), (200, 60)])
def test_placement_finds_a_mark_of_the_image_in_the_input(resize, size):
    height, width = size
    image = np.zeros((height, width), np.uint8)
    middle = (height // 2, width // 2)
    image[middle[0] - 10 : middle[0] + 20, middle[1] - 10 : middle[1] + 20] = 255  # not symmetric
    pixels, placement = preprocessor(40, 40, resize=resize)(image)
    assert one_pixel_means(pixels, placement, middle[1] + 5, middle[0] + 5)[0] > 200
    assert one_pixel_means(pixels, placement, middle[1] - 20, middle[0] - 20)[0] < 150
    rows = np.flatnonzero((pixels[0, :, :, 0] > 127).any(axis=1))
    back = placement.to_image(np.array([[0.0, rows[0]], [0.0, rows[-1] + 1.0]]))[:, 1]
    np.testing.assert_allclose(back, [middle[0] - 10, middle[0] + 20], atol=1 / placement.scale[0])


def test_exif_turns_before_it_resizes(photo, encode):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = photo(40, 60).transpose(Image.Transpose.ROTATE_90)
    pixels, placement = preprocessor(10, 20)(encode(turned, exif=exif))
    np.testing.assert_array_equal(pixels, preprocessor(10, 20)(photo(40, 60))[0])
    assert placement.image_size == (40, 60)


@pytest.mark.parametrize("size", [(1, 1), (1, 65500), (65500, 1)])
@pytest.mark.parametrize("resize", ["stretch", "letterbox", "center_crop"])
def test_extreme_shapes_are_answered(size, resize):
    pixels, _ = preprocessor(224, 224, resize=resize)(np.full(size, 9, np.uint8))
    assert pixels.shape == (1, 224, 224, 3)
    assert (pixels == 9).any()


def test_the_callers_array_stays_as_it_is(photo):
    array = np.array(photo(8, 8))
    before = array.copy()
    preprocessor(resize="letterbox")(array)
    np.testing.assert_array_equal(array, before)
