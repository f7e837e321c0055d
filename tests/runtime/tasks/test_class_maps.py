"""How logits become the class of each displayed pixel, against plain NumPy and against pictures of known classes."""

import tracemalloc

import numpy as np
import pytest
import segmentations
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgecnn_runtime.manifest import ImageInput
from edgecnn_runtime.preprocessing import Placement, Preprocessor
from edgecnn_runtime.tasks.class_maps import class_map

RESIZES = {"stretch": {}, "letterbox": {"pad_value": 114}, "center_crop": {"crop_fraction": 0.8}, "pad": {}}


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def placed(resize, image_size, input_size):
    """The pixels' size and the placement that an image of a size gets."""
    size = (None, None) if resize == "pad" else input_size
    step = 4 if resize == "pad" else None
    spec = ImageInput("image", *size, "gray", resize, multiple_of=step, **RESIZES[resize])
    pixels, placement = Preprocessor(spec)(np.zeros(image_size, np.uint8))
    return pixels.shape[1:3], placement


def triangles(side, count, scale, offset, first, stop):
    """The weight of each logit for each pixel: (side, count); rows of pixels that were not seen whole are repeated.

    The logits between `first` and `stop` are the image's. A pixel's centre takes those in reach by their distance.
    """
    weights = np.zeros((side, count))
    seen = []
    for pixel in range(side):
        low, high = pixel * scale + offset, (pixel + 1) * scale + offset
        if low < first - 1e-6 or high > stop + 1e-6:
            continue
        seen.append(pixel)
        centres = np.arange(first, stop) + 0.5
        weights[pixel, first:stop] = np.maximum(0, 1 - abs(centres - (low + high) / 2) / max(1.0, scale))
        weights[pixel] /= weights[pixel].sum()
    nearest = [min(seen, key=lambda one: (abs(one - pixel), one)) for pixel in range(side)]
    return weights[nearest]


def plain(logits, placement):
    """The logits of each displayed pixel, in float64, by the weights of all pairs."""
    axes = []
    for side, count, scale, offset in zip(
        placement.image_size, logits.shape[:2], placement.scale, placement.offset, strict=True
    ):
        first, stop = max(0, round(offset)), min(count, round(side * scale + offset))
        axes.append(triangles(side, count, scale, offset, first, stop))
    return np.einsum("yh,hwc,xw->yxc", axes[0], logits.astype(np.float64), axes[1], optimize=True)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("image_size", [(24, 36), (7, 50), (50, 7), (61, 40), (13, 13), (20, 20), (128, 90)])
@pytest.mark.parametrize("band", [1, 600, 1 << 19])
def test_the_classes_are_those_of_plain_numpy(resize, image_size, band, monkeypatch):
    monkeypatch.setattr("edgecnn_runtime.tasks.class_maps._BAND", band)
    size, placement = placed(resize, image_size, (20, 28))
    logits = noise(*size, 4)
    expected = plain(logits, placement)
    first, second = np.sort(expected, axis=2)[..., :-3:-1].transpose(2, 0, 1)
    clear = first - second > 1e-3
    found = class_map(logits, placement)
    assert (found.shape, found.dtype) == (image_size, np.uint8)
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found[clear], expected.argmax(axis=2)[clear])


@settings(deadline=None)
@given(st.sampled_from(sorted(RESIZES)), st.integers(4, 90), st.integers(4, 90), st.integers(1, 40), st.integers(1, 40))
def test_any_size_is_answered(resize, height, width, input_height, input_width):
    size, placement = placed(resize, (height, width), (input_height, input_width))
    logits = np.zeros((*size, 3), np.float32)
    logits[..., 2] = 1
    found = class_map(logits, placement)
    assert found.shape == (height, width)
    assert (found == 2).all()


@pytest.mark.parametrize("image_size", [(1, 65500), (65500, 1), (1, 1), (1, 3000)])
@pytest.mark.parametrize("resize", ["stretch", "letterbox", "center_crop"])
def test_extreme_shapes_are_answered(resize, image_size):
    size, placement = placed(resize, image_size, (32, 32))
    logits = np.zeros((*size, 2), np.float32)
    logits[..., 1] = 1
    found = class_map(logits, placement)
    assert found.shape == image_size
    assert (found == 1).all()


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("image_size", [(80, 120), (120, 80), (63, 41)])
def test_a_network_that_sees_the_classes_gives_them_back_where_they_are(resize, image_size):
    """From the picture to the class map by the preprocessor's own way: a shift by a pixel would show."""
    truth = segmentations.blobs(*image_size)
    size, step = ((None, None), 16) if resize == "pad" else ((160, 160), None)
    spec = ImageInput("image", *size, "gray", resize, multiple_of=step, **RESIZES[resize])
    pixels, placement = Preprocessor(spec)(truth * 100)
    logits = -np.abs(pixels[0].astype(np.float32) - 100 * np.arange(3, dtype=np.float32))
    found = class_map(logits, placement)
    (x1, y1), (x2, y2) = placement.to_image(np.array([[0, 0], pixels.shape[2:0:-1]])).clip(0, image_size[::-1])
    seen = np.s_[int(np.ceil(y1)) : int(y2), int(np.ceil(x1)) : int(x2)]
    wrong = found[seen] != truth[seen]
    assert wrong.mean() < 0.03
    shifted = np.roll(truth, 1, axis=1)[seen]
    assert wrong.mean() < (found[seen] != shifted).mean() or resize == "pad"
    if resize == "pad":
        assert not wrong.any()


def test_pixels_beyond_what_was_seen_have_the_class_of_the_nearest():
    logits = np.zeros((4, 4, 2), np.float32)
    logits[:, 3, 1] = 1
    found = class_map(logits, Placement((4, 10), (1.0, 1.0), (0.0, -3.0)))
    assert found.tolist() == [[0] * 6 + [1] * 4] * 4


def test_what_the_image_is_padded_with_does_not_leak_into_it():
    logits = np.zeros((8, 8, 2), np.float32)
    logits[:2, :, 1] = logits[6:, :, 1] = 1000  # of the padding alone
    assert not class_map(logits, Placement((16, 32), (0.25, 0.25), (2.0, 0.0))).any()


@pytest.mark.parametrize(("side", "fitted"), [(11, 50), (13, 54), (19, 21), (21, 46), (23, 54)])
def test_no_rounding_error_takes_a_row_of_the_padding_for_one_of_the_image(side, fitted):
    """In floating point, side * (fitted / side) is a little more than fitted for these."""
    assert side * (fitted / side) + 7 > fitted + 7
    logits = np.zeros((fitted + 14, 8, 2), np.float32)
    logits[:7, :, 1] = logits[7 + fitted :, :, 1] = 1000  # of the padding alone
    assert not class_map(logits, Placement((side, 8), (fitted / side, 1.0), (7.0, 0.0))).any()


@pytest.mark.parametrize("placement", [Placement((2, 2), (1, 1), (0, 0)), Placement((5, 3), (0.4, 2 / 3), (0, 0))])
def test_of_equal_logits_the_lower_class_wins(placement):
    logits = np.zeros((2, 2, 4), np.float32)
    logits[..., 1:] = 5
    assert (class_map(logits, placement) == 1).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_any_floating_point_is_read(dtype):
    logits = noise(6, 6, 3)
    for placement in (Placement((6, 6), (1, 1), (0, 0)), Placement((12, 12), (0.5, 0.5), (0, 0))):
        expected = class_map(logits, placement)
        assert (class_map(logits.astype(dtype), placement) != expected).mean() < 0.02


@pytest.mark.parametrize("scale", [1.0, 0.5, 2.0])
def test_memory_follows_the_class_map_and_one_band(scale):
    side = 1536
    logits = np.zeros((int(side * scale), int(side * scale), 2), np.float32)
    logits[::3, :, 1] = 1
    placement = Placement((side, side), (scale, scale), (0.0, 0.0))
    tracemalloc.start()
    try:
        found = class_map(logits, placement)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.any()
    assert peak < found.nbytes + 16 * 2**20  # a band is 2 MiB of logits; Pillow's own memory is not traced


def test_a_band_is_no_seam():
    logits, placement = noise(40, 40, 3), Placement((700, 900), (40 / 700, 40 / 900), (0.0, 0.0))
    whole = np.stack(
        [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(logits[..., c])).resize((900, 700), Image.Resampling.BILINEAR)
            )
            for c in range(3)
        ]
    )
    assert (class_map(logits, placement) != whole.argmax(axis=0)).mean() < 1e-4
