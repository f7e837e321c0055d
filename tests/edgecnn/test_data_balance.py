import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.data.balance import repeats

CLASS_IDS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)


@given(CLASS_IDS, st.integers(0, 99))
def test_repeats_make_every_class_as_large_as_the_largest(class_ids, seed):
    chosen = repeats(class_ids, np.random.default_rng(seed))
    shown = np.concatenate([class_ids, class_ids[chosen]])
    assert set(np.unique(shown, return_counts=True)[1].tolist()) == {np.bincount(class_ids).max()}


@given(CLASS_IDS, st.integers(0, 99))
def test_repeats_take_the_images_of_a_class_in_turn(class_ids, seed):
    times = np.bincount(repeats(class_ids, np.random.default_rng(seed)), minlength=len(class_ids))
    assert all(np.ptp(times[class_ids == class_id]) <= 1 for class_id in class_ids)


def test_repeats_are_drawn():
    class_ids = np.repeat([0, 1], [40, 30])
    first, again, other = (repeats(class_ids, np.random.default_rng(seed)).tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other
