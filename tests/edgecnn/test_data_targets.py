import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.data.fingerprint import fingerprint, image_digests
from edgecnn.data.parts import make_dataset
from edgecnn.data.samples import Samples
from edgecnn.data.split import split_off_test
from edgecnn.data.targets import NO_CLASS, Boxes, ClassIds, Objects, class_ids_of

UNIT = (0, 0, 2, 2)
several = st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=2, max_size=30)


def boxes_of(*class_ids):
    """One image a list of classes, an equal box for each object."""
    return Boxes(tuple(Objects.of([UNIT] * len(ids), ids) for ids in class_ids))


def part_of(targets, labels=("a", "b", "c", "d", "e"), part="train"):
    pixels = np.arange(len(targets) * 4, dtype=np.uint8).reshape(-1, 2, 2)
    return Samples(pixels, targets, labels, part)


def test_the_digests_of_class_ids_are_the_bytes_that_fingerprints_were_made_of():
    ids = np.array([0, 3, 2**40], np.int64)
    assert b"".join(map(ClassIds(ids).digest, range(3))) == ids.astype("<i8").tobytes()


@given(several)
def test_classes_of_boxes_can_be_split_and_name_the_rarest_class(class_ids):
    classes = boxes_of(*class_ids).classes()
    counts = np.unique(classes, return_counts=True)[1]
    assert counts.min() >= 2
    images_with = {k: sum(k in ids for ids in class_ids) for k in range(5)}
    own = [
        (counted, ids)
        for ids, counted in zip(class_ids, classes, strict=True)
        if counted != NO_CLASS and counted in ids
    ]
    assert sum(images_with[counted] > min(images_with[k] for k in ids) for counted, ids in own) <= 1  # one may be moved


@given(several)
def test_counts_of_boxes_are_images_and_not_objects(class_ids):
    assert boxes_of(*class_ids).counts(5).tolist() == [sum(k in ids for ids in class_ids) for k in range(5)]


def test_a_single_image_without_its_like_goes_with_the_largest_class():
    assert boxes_of(*[[0]] * 5, *[[1]] * 6, []).classes().tolist() == [0] * 5 + [1] * 7


def test_split_off_test_takes_a_fifth_where_each_image_has_a_rare_class():
    images = [[index % 20, 20] for index in range(50)]  # two or three images a class
    _, test = split_off_test(part_of(boxes_of(*images), [str(index) for index in range(21)]))
    assert len(test) == 10


@given(several)
def test_split_off_test_takes_no_image_twice_whatever_the_classes(class_ids):
    train, test = split_off_test(part_of(boxes_of(*class_ids)))
    assert len(test) >= 1
    assert len(train) >= 1
    shown = [source.tobytes() for source, _ in [*train, *test]]
    assert len(set(shown)) == len(shown) == len(class_ids)


@pytest.mark.parametrize(
    "change",
    [
        Objects.of([(0, 0, 2, 1)], [1]),
        Objects.of([UNIT], [0]),
        Objects.of([UNIT], [1], difficult=[True]),
        Objects.of([UNIT], [1], crowd=[True]),
        Objects.of([UNIT, UNIT], [1, 1]),
        Objects.of([], []),
    ],
)
def test_fingerprint_changes_with_whatever_is_said_of_an_object(change):
    parts = [part_of(Boxes((image,))) for image in (Objects.of([UNIT], [1]), Objects.of([UNIT], [1]), change)]
    first, same, other = (fingerprint([part], [image_digests(part)]) for part in parts)
    assert first == same != other


def test_boxes_keep_their_images_through_subset_and_joined():
    targets = boxes_of([0], [1], [])
    chosen = targets.subset(np.array([2, 0])).joined([targets])
    assert [image.class_ids.tolist() for image in chosen.images] == [[], [0], [0], [1], []]


def test_objects_refuses_lengths_that_differ():
    with pytest.raises(ValueError, match="a class and two flags for each"):
        Objects.of([UNIT], [])


def test_class_ids_of_refuses_boxes():
    with pytest.raises(TypeError, match="received Boxes"):
        class_ids_of(boxes_of([0]))


def test_equal_pictures_with_other_boxes_are_said(caplog):
    pixels = np.zeros((2, 2, 2), np.uint8)
    targets = Boxes((Objects.of([UNIT], [0]), Objects.of([(0, 0, 1, 1)], [0])))
    make_dataset("set", "set", [Samples(pixels, targets, ("a",), "test")])
    assert "1 with other boxes (image 0 of the test part = image 1 of the test part)" in caplog.text
