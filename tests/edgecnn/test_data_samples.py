from pathlib import Path

import numpy as np
import pytest

from edgecnn.data.samples import Samples
from edgecnn.data.targets import ClassIds

PIXELS = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
SAMPLES = Samples(PIXELS, ClassIds(np.array([0, 1, 1, 0])), ("a", "b"), "train")


def test_samples_gives_source_and_class_id():
    source, class_id = SAMPLES[2]
    assert (source == PIXELS[2]).all()
    assert class_id == 1


def test_samples_iterates_to_its_end():
    assert [class_id for _, class_id in SAMPLES] == [0, 1, 1, 0]


def test_samples_slices_to_samples():
    assert SAMPLES[1:3].targets.ids.tolist() == [1, 1]


def test_subset_keeps_the_given_order():
    assert (SAMPLES.subset(np.array([3, 0])).sources == PIXELS[[3, 0]]).all()


def test_subset_of_paths_is_paths():
    samples = Samples((Path("x"), Path("y")), ClassIds(np.array([0, 1])), ("a", "b"), "train")
    assert samples.subset(np.array([1])).sources == (Path("y"),)


def test_describe_names_the_position_of_an_array():
    assert SAMPLES.describe(3) == "image 3 of the train part"


def test_samples_refuses_lengths_that_differ():
    with pytest.raises(ValueError, match="received 4 and 1"):
        Samples(PIXELS, ClassIds(np.array([0])), ("a",), "train")
