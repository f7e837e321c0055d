import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn.data.targets import IGNORE, ClassIds, Masks
from edgecnn.tasks.segmentation.targets import arrays
from edgecnn_runtime.manifest import ImageInput
from edgecnn_runtime.preprocessing import Placement, Preprocessor

sides = st.tuples(st.integers(1, 40), st.integers(1, 40))


def mask_of(shape):
    return np.random.default_rng(0).integers(0, 5, shape, np.uint8)


def brute_force(mask, place, image_size):
    expected = np.full(image_size, IGNORE, np.uint8)
    for row, column in np.ndindex(*image_size):
        x, y = place.to_image(np.array([column + 0.5, row + 0.5]))
        if 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0]:
            expected[row, column] = mask[int(y), int(x)]
    return expected


@given(sides, sides, st.sampled_from(["stretch", "letterbox", "center_crop"]), st.sampled_from([1.0, 0.875, 0.5]))
@settings(max_examples=80)
def test_masks_lie_where_their_images_do(shape, image_size, resize, crop_fraction):
    spec = ImageInput(
        "image",
        *image_size,
        "gray",
        resize=resize,
        crop_fraction=crop_fraction if resize == "center_crop" else None,
        pad_value=7 if resize == "letterbox" else None,
    )
    mask = mask_of(shape)
    _, place = Preprocessor(spec)(np.zeros(shape, np.uint8))
    (found,) = arrays(Masks.of([mask], 5), [place], image_size)["masks"]
    assert (found == brute_force(mask, place, image_size)).all()


def test_padding_is_ignored_and_the_rest_is_the_mask():
    mask = mask_of((4, 8))
    _, place = Preprocessor(ImageInput("image", 8, 8, "gray", resize="letterbox", pad_value=0))(
        np.zeros((4, 8), np.uint8)
    )
    (found,) = arrays(Masks.of([mask], 5), [place], (8, 8))["masks"]
    assert (found[2:6] == mask).all()
    assert (found[[0, 1, 6, 7]] == IGNORE).all()


def test_of_a_picture_continued_at_its_sides_what_is_continued_is_ignored():
    mask = mask_of((5, 6))
    (found,) = arrays(Masks.of([mask], 5), [Placement((5, 6), (1.0, 1.0), (0.0, 0.0))], (8, 8))["masks"]
    assert (found[:5, :6] == mask).all()
    assert (found == IGNORE).sum() == 64 - 30


def test_pictures_that_cannot_be_decoded_are_ignored_throughout():
    bad = Placement((0, 0), (0.0, 0.0), (0.0, 0.0))  # as the cache has them
    found = arrays(
        Masks.of([mask_of((4, 4)), mask_of((3, 3))], 5), [Placement((4, 4), (1.0, 1.0), (0, 0)), bad], (4, 4)
    )
    assert (found["masks"][0] == mask_of((4, 4))).all()
    assert (found["masks"][1] == IGNORE).all()
    assert found["masks"].dtype == np.uint8


def test_what_is_no_mask_of_the_image_is_refused():
    place = Placement((4, 4), (1.0, 1.0), (0.0, 0.0))
    with pytest.raises(TypeError, match="expected masks, received ClassIds"):
        arrays(ClassIds(np.zeros(1, np.int64)), [place], (4, 4))
    with pytest.raises(ValueError, match=r"mask 0: expected the size of its image, \(4, 4\), received \(3, 4\)"):
        arrays(Masks.of([mask_of((3, 4))], 5), [place], (4, 4))
