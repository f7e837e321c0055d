import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.data.samples import Samples
from edgecnn.data.split import split_off_test, stratified_split
from edgecnn.data.targets import ClassIds
from edgecnn.errors import DatasetError

COUNTS = st.lists(st.integers(2, 40), min_size=1, max_size=6)
FRACTIONS = st.floats(0.01, 0.99)


def class_ids_of(counts):
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


@given(counts=COUNTS, fraction=FRACTIONS)
def test_stratified_split_parts_every_position(counts, fraction):
    stay, held = stratified_split(class_ids_of(counts), fraction, seed=3)
    assert sorted([*stay, *held]) == list(range(sum(counts)))


@given(counts=COUNTS, fraction=FRACTIONS)
def test_stratified_split_holds_the_fraction_of_each_class_out(counts, fraction):
    class_ids = class_ids_of(counts)
    _, held = stratified_split(class_ids, fraction, seed=3)
    for class_id, count in enumerate(counts):
        got = (class_ids[held] == class_id).sum()
        assert 1 <= got <= count - 1
        assert abs(got - fraction * count) <= 1


def test_stratified_split_follows_the_seed():
    class_ids = class_ids_of([20, 20])
    first, again, other = (stratified_split(class_ids, 0.5, seed=seed)[1].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_stratified_split_refuses_a_class_that_stands_there_once():
    with pytest.raises(ValueError, match="class 7 once"):
        stratified_split(np.array([0, 0, 7]), 0.5, seed=0)


def test_split_off_test_takes_a_fifth_of_each_class():
    samples = Samples(np.zeros((30, 1, 1), np.uint8), ClassIds(np.repeat([0, 1], [20, 10])), ("a", "b"), "train")
    train, test = split_off_test(samples)
    assert np.bincount(test.targets.ids).tolist() == [4, 2]
    assert (len(train), train.part, test.part) == (24, "train", "test")


def test_split_off_test_names_a_class_with_one_image():
    samples = Samples(np.zeros((3, 1, 1), np.uint8), ClassIds(np.array([0, 0, 1])), ("a", "b"), "train")
    with pytest.raises(DatasetError, match="class 'b': expected at least 2 images"):
        split_off_test(samples)
