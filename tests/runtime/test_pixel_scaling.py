import numpy as np
import pytest

from edgecnn_runtime.pixel_scaling import PIXEL_SCALINGS

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)


@pytest.mark.parametrize(("name", "mode"), [("signed", "tf"), ("caffe", "caffe"), ("torch", "torch")])
def test_apply_equals_what_keras_calls_that_mode(name: str, mode: str) -> None:
    from keras.applications.imagenet_utils import preprocess_input  # loads TensorFlow

    expected = preprocess_input(PIXELS.astype(np.float32), data_format="channels_last", mode=mode)
    np.testing.assert_allclose(PIXEL_SCALINGS[name].apply(PIXELS), expected, rtol=0, atol=2e-5)


def test_unit_divides_by_255_and_raw_changes_nothing() -> None:
    np.testing.assert_allclose(PIXEL_SCALINGS["unit"].apply(PIXELS), PIXELS / 255, rtol=1e-6)
    assert (PIXEL_SCALINGS["raw"].apply(PIXELS) == PIXELS).all()


def test_apply_turns_red_to_the_end_for_caffe_alone() -> None:
    red = np.array([[255, 0, 0]], np.uint8)
    np.testing.assert_allclose(PIXEL_SCALINGS["caffe"].apply(red), [[-103.939, -116.779, 255 - 123.68]], rtol=1e-6)
    assert {name for name, scaling in PIXEL_SCALINGS.items() if scaling.bgr} == {"caffe"}


@pytest.mark.parametrize("name", PIXEL_SCALINGS)
def test_apply_gives_contiguous_float32_and_leaves_its_argument_alone(name: str) -> None:
    before = PIXELS.copy()
    scaled = PIXEL_SCALINGS[name].apply(PIXELS)
    assert (scaled.dtype, scaled.shape, scaled.flags.c_contiguous) == (np.float32, PIXELS.shape, True)
    assert (before == PIXELS).all()


@pytest.mark.parametrize(("name", "channels"), [("raw", None), ("unit", None), ("signed", None), ("caffe", 3)])
def test_channels_are_three_where_each_has_its_own_numbers(name: str, channels: int | None) -> None:
    assert PIXEL_SCALINGS[name].channels == channels


@pytest.mark.parametrize("name", ["caffe", "torch"])
def test_apply_refuses_gray_pixels_where_each_channel_has_its_own_numbers(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected 3 channels, received shape \(5, 4, 1\)"):
        PIXEL_SCALINGS[name].apply(np.zeros((5, 4, 1), np.uint8))
