import numpy as np
import pytest

from edgecnn.data.narrowing import GROUND, as_class_ids, largest_boxes, with_boxes, with_masks
from edgecnn.data.parts import make_dataset
from edgecnn.data.samples import Samples
from edgecnn.data.targets import IGNORE, Boxes, ClassIds, Masks, Objects
from edgecnn.errors import UsageError

SMALL, LARGE = (0, 0, 2, 2), (0, 0, 3, 4)


def dataset_of(targets, labels=("a", "b")):
    pixels = np.arange(len(targets) * 16, dtype=np.uint8).reshape(-1, 4, 4)
    return make_dataset("cells", "cells", [Samples(pixels, targets, labels, "test")])


def test_as_class_ids_leaves_classes_as_they_are():
    dataset = dataset_of(ClassIds(np.array([0, 1])))
    assert as_class_ids(dataset) is dataset


def test_as_class_ids_takes_the_class_that_all_objects_share():
    dataset = dataset_of(Boxes((Objects.of([SMALL], [1]), Objects.of([SMALL, LARGE], [0, 0]))))
    narrowed = as_class_ids(dataset)
    assert narrowed.test.targets.ids.tolist() == [1, 0]
    assert narrowed.fingerprint == dataset.fingerprint


@pytest.mark.parametrize(
    ("image", "received"), [(Objects.of([SMALL, LARGE], [0, 1]), "'a', 'b'"), (Objects.of([], []), "no object")]
)
def test_as_class_ids_refuses_an_image_without_one_class(image, received):
    dataset = dataset_of(Boxes((Objects.of([SMALL], [1]), image)))
    with pytest.raises(UsageError, match=rf"image 1 of the test part: .* received {received}") as caught:
        as_class_ids(dataset)
    assert caught.value.exit_code == 2


def test_as_class_ids_refuses_a_single_class():
    with pytest.raises(UsageError, match=r"at least 2 classes, to classify images by, received \['a'\]"):
        as_class_ids(dataset_of(Boxes((Objects.of([SMALL], [0]),)), ("a",)))


def test_largest_boxes_takes_the_largest_and_says_how_many_are_left_out(caplog):
    crowd = Objects.of([LARGE, SMALL], [0, 1], crowd=[True, False])
    images = (
        Objects.of([SMALL, LARGE, SMALL], [0, 1, 0]),
        Objects.of([], []),
        crowd,
        Objects.of([LARGE, LARGE], [1, 0]),
    )
    narrowed = largest_boxes(dataset_of(Boxes(images))).test
    assert [image.class_ids.tolist() for image in narrowed.targets.images] == [[1], [1], [1]]
    assert narrowed.targets.images[0].boxes.tolist() == [list(LARGE)]
    assert (narrowed.sources[1] == np.arange(32, 48).reshape(4, 4)).all()  # image 1 has no object
    assert "cells: one object an image, its largest: left out 4 of 7 objects and 1 images without one" in caplog.text


def test_largest_boxes_says_nothing_where_nothing_is_left_out(caplog):
    largest_boxes(dataset_of(Boxes((Objects.of([SMALL], [0]), Objects.of([LARGE], [1])))))
    assert not caplog.messages


def test_largest_boxes_refuses_classes():
    with pytest.raises(UsageError, match=r"expected data with boxes .* received a class an image"):
        largest_boxes(dataset_of(ClassIds(np.array([0, 1]))))


def test_largest_boxes_refuses_a_part_without_objects():
    with pytest.raises(UsageError, match="expected an object in the test part, received none"):
        largest_boxes(dataset_of(Boxes((Objects.of([], []),)), ("a",)))


@pytest.mark.parametrize("labels", [[[0]], [[]]])
def test_with_boxes_takes_data_that_have_no_part_to_learn_from(labels):
    dataset = dataset_of(Boxes(tuple(Objects.of([SMALL] * len(ids), ids) for ids in labels * 2)))
    assert with_boxes(dataset) is dataset


def masks_of(*values):
    """A mask of one value an image."""
    return Masks.of([np.full((4, 4), value, np.uint8) for value in values], 2)


def test_with_masks_leaves_masks_as_they_are():
    dataset = dataset_of(masks_of(0, 1))
    narrowed = with_masks(dataset)
    assert narrowed.test.targets is dataset.test.targets
    assert narrowed.labels == dataset.labels


def test_with_masks_takes_the_masks_behind_boxes_and_names_the_ground():
    dataset = dataset_of(Boxes((Objects.of([SMALL], [0]), Objects.of([], [])), masks_of(1, 0)), ("a",))
    narrowed = with_masks(dataset)
    assert narrowed.labels == (GROUND, "a")
    assert narrowed.test.targets.counts(2).tolist() == [1, 1]
    assert narrowed.fingerprint == dataset.fingerprint


@pytest.mark.parametrize(
    ("targets", "received"),
    [(ClassIds(np.array([0, 1])), "a class an image"), (Boxes((Objects.of([SMALL], [0]),) * 2), "boxes")],
)
def test_with_masks_refuses_data_without(targets, received):
    with pytest.raises(UsageError, match=rf"expected data with masks .* received {received}\. .* masks:PATH"):
        with_masks(dataset_of(targets))


def test_with_masks_refuses_a_train_part_where_all_is_ignored():
    pixels = np.arange(32, dtype=np.uint8).reshape(-1, 4, 4)
    given = [
        Samples(pixels, masks_of(*[value] * 2), ("a", "b"), part) for part, value in (("train", IGNORE), ("test", 0))
    ]
    with pytest.raises(UsageError, match="a pixel in the train part that is not ignored, received none in 2 masks"):
        with_masks(make_dataset("cells", "cells", given))


@pytest.mark.parametrize("narrow", [as_class_ids, largest_boxes, with_boxes])
def test_masks_are_no_boxes_and_no_classes(narrow):
    with pytest.raises(UsageError, match=r"expected data with boxes .* received masks"):
        narrow(dataset_of(masks_of(0, 1)))
