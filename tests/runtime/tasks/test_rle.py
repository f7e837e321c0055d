import numpy as np
import pytest
from hypothesis import example, given
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from edgecnn_runtime.tasks.rle import compressed, counts_of, mask_of, rle

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))


def encoded(mask):
    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))


@given(MASKS)
@example(np.zeros((5, 7), bool))
@example(np.ones((5, 7), bool))
@example(np.ones((1, 1), bool))
@example(np.eye(1, 9, 4, dtype=bool))
@example(np.eye(9, 1, -8, dtype=bool))
def test_run_lengths_are_those_of_pycocotools(mask):
    text = compressed(rle(mask))
    assert text == encoded(mask)["counts"].decode()
    ours = {"size": list(mask.shape), "counts": text}
    np.testing.assert_array_equal(coco.decode(ours), mask)
    assert coco.area(ours) == mask.sum()
    if mask.any():
        y, x = np.nonzero(mask)
        assert coco.toBbox(ours).tolist() == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]


@given(MASKS)
def test_a_mask_comes_back_from_its_text(mask):
    counts = counts_of(encoded(mask)["counts"].decode())
    np.testing.assert_array_equal(counts, rle(mask))
    np.testing.assert_array_equal(mask_of(counts, mask.shape), mask)


@pytest.mark.parametrize("noise", [0, 0.3])
def test_long_runs_and_long_texts_are_those_of_pycocotools(noise):
    mask = np.random.default_rng(0).random((500, 800)) < noise
    mask[100:, 200:700:7] = True
    text = encoded(mask)["counts"].decode()
    assert compressed(rle(mask)) == text
    np.testing.assert_array_equal(mask_of(counts_of(text), mask.shape), mask)


def test_numbers_that_are_not_bool_are_a_mask_too():
    assert rle(np.array([[0, 7], [2, 2]], np.uint8)).tolist() == [1, 3]


@pytest.mark.parametrize("text", ["X", "0X", "~", "0 1", "é", "0\n", "PPPPPPPPPP1"])
def test_a_text_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="run lengths: expected"):
        counts_of(text)


def test_a_text_whose_count_would_be_negative_is_refused():
    with pytest.raises(ValueError, match="expected numbers of 0 or more, received -3"):
        counts_of("M")


@pytest.mark.parametrize("counts", [[3], [2, 3], [5, -1], []])
def test_run_lengths_that_are_not_of_the_size_are_refused(counts):
    with pytest.raises(ValueError, match="whose sum is 4, the pixels of 2 x 2"):
        mask_of(np.array(counts, np.int64), (2, 2))
