import base64
import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.golden import digest


def numbers(array):
    return np.array(dataclasses.astuple(digest("a", np.asarray(array)))[2:])


def test_digest_gives_hand_computed_numbers():
    held = digest("logits", np.array([[3.0, -4.0]], dtype=np.float32))
    assert (held.name, held.shape, held.largest, held.mean) == ("logits", (1, 2), 4.0, -0.5)
    assert held.rms == pytest.approx(np.sqrt(12.5))
    assert held.signed in [pytest.approx(sign * value / np.sqrt(2)) for sign in (1, -1) for value in (7, -1)]


def test_digest_signs_are_the_same_in_every_version():
    positive = [digest("a", row).signed > 0 for row in np.eye(8)]
    assert positive == [True, True, False, True, False, True, True, True]


def test_digest_signs_are_balanced():
    assert abs(digest("a", np.ones(100_000)).signed) < 3


def test_digest_of_pixels_does_not_overflow():
    assert numbers(np.full((1, 64, 64, 3), 255, np.uint8))[:3].tolist() == [255, 255, 255]


@pytest.mark.parametrize("change", [np.fliplr, np.flipud, np.transpose, lambda image: image[:, :, ::-1]])
def test_digest_tells_a_picture_from_a_turned_one(photo, change):
    image = np.asarray(photo(48, 48))
    changed = np.transpose(image, (1, 0, 2)) if change is np.transpose else change(image)
    assert np.abs(numbers(image) - numbers(changed)).max() > 2


@given(st.integers(0, 999), st.floats(0.02, 1e6), st.booleans())
def test_digest_of_a_thousand_logits_moves_with_any_one_of_them(index, change, up):
    logits = np.random.default_rng(0).normal(0, 1, 1000)
    changed = logits.copy()
    changed[index] += change if up else -change
    assert np.abs(numbers(logits) - numbers(changed)).max() > 1e-4 * np.abs(logits).max()


def test_digest_holds_what_is_not_finite():
    assert np.isnan(digest("a", np.array([np.inf, -np.inf])).mean)
    assert np.isnan(digest("a", np.array([np.nan, 1.0])).largest)


def test_digest_of_equal_arrays_is_equal_whatever_their_layout():
    array = np.random.default_rng(0).normal(0, 1, (4, 5)).astype(np.float32)
    assert digest("a", array) == digest("a", np.asfortranarray(array)) == digest("a", array.astype(">f4"))


def test_image_bytes_are_those_that_were_encoded(make_graph, make_manifest, make_golden, photo, encode):
    image = encode(photo())
    (sample,) = make_golden(make_graph(), make_manifest(), {"a.png": image})
    assert sample.image_bytes == image == base64.b64decode(sample.image)


def test_image_bytes_names_the_sample_that_is_damaged(make_graph, make_manifest, make_golden):
    sample = dataclasses.replace(make_golden(make_graph(), make_manifest())[0], image="no base64!")
    with pytest.raises(ManifestError, match=r"golden sample 'plain\.png': expected base64, received 'no base64!'"):
        _ = sample.image_bytes
