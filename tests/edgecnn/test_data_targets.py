import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgecnn.data.fingerprint import fingerprint, image_digests
from edgecnn.data.parts import make_dataset
from edgecnn.data.samples import Samples
from edgecnn.data.split import split_off_test
from edgecnn.data.targets import IGNORE, NO_CLASS, Boxes, ClassIds, Masks, Objects, class_ids_of

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


class_maps = arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 2, 4, IGNORE]))


@given(st.lists(class_maps, min_size=2, max_size=12), st.randoms())
def test_masks_say_of_each_image_what_it_shows_in_any_order_and_joined(maps, random):
    masks = Masks.of(maps, 5)
    order = list(range(len(maps)))
    random.shuffle(order)
    mixed = masks.subset(np.array(order[1:])).joined([masks.subset(np.array(order[:1]))])
    order = [*order[1:], order[0]]
    assert all((mixed.truth(place) == maps[index]).all() for place, index in enumerate(order))
    assert mixed.counts(6).tolist() == [sum((one == k).any() for one in maps) for k in range(5)] + [0]
    assert [mixed.digest(place) for place in range(len(maps))] == [masks.digest(index) for index in order]
    same = {(one.tobytes(), masks.digest(index)) for index, one in enumerate(maps)}
    assert len(same) == len({one.tobytes() for one in maps}) == len({digest for _, digest in same})


@given(several)
def test_masks_are_split_and_balanced_by_the_class_that_boxes_would_be(class_ids):
    maps = [np.resize(np.array(ids or [IGNORE], np.uint8), (2, 3)) for ids in class_ids]
    assert Masks.of(maps, 5).classes().tolist() == boxes_of(*class_ids).classes().tolist()


def test_the_truths_of_masks_have_the_models_classes_and_what_is_ignored_stays():
    truths = Masks.of([np.array([[0, 1, IGNORE]], np.uint8)], 2).truths(np.array([2, 0]))
    assert [truth.tolist() for truth in truths] == [[[2, 0, IGNORE]]]


def test_a_mask_of_other_sides_has_another_digest():
    flat = np.array([[0, 1, 0, 1]], np.uint8)
    first, second = Masks.of([flat, flat.reshape(2, 2)], 2).digests
    assert first != second


def test_masks_behind_boxes_follow_them_and_are_no_part_of_the_fingerprint():
    maps = [np.full((1, 2), value, np.uint8) for value in (0, 1, 2)]
    boxes = boxes_of([0], [1], [1])
    both = Boxes(boxes.images, Masks.of(maps, 3))
    part = both.subset(np.array([2, 0]))
    assert [part.masks.truth(index).tolist() for index in (0, 1)] == [[[2, 2]], [[0, 0]]]
    assert part.joined([both]).masks.counts(3).tolist() == [2, 1, 2]
    assert part.joined([boxes]).masks is None
    assert [both.digest(index) for index in range(3)] == [boxes.digest(index) for index in range(3)]


def test_masks_need_a_row_and_a_digest_for_each_source():
    with pytest.raises(ValueError, match="expected a row and a digest for each source"):
        Masks((np.zeros((1, 1), np.uint8),), np.zeros((2, 3), bool), (b"", b""))
