"""Data made into what a task takes: of boxes one class an image, one box, all of them, or what lies behind them."""

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgecnn.data.samples import Dataset, Samples
from edgecnn.data.targets import Answers, Boxes, ClassIds, Masks, Targets
from edgecnn.errors import UsageError

GROUND = "ground"  # the class of pixels where no object is
_KINDS: Mapping[type, str] = {
    ClassIds: "a class an image",
    Boxes: "boxes",
    Masks: "masks",
    Answers: "questions",
}

logger = logging.getLogger(__name__)


def as_class_ids(dataset: Dataset) -> Dataset:
    """Returns the data as a classifier takes them; data without boxes as they are.

    The fingerprint stays, since the data are the same.

    Raises:
        UsageError: an image has no object, or objects of several classes; or there is one class only; or there are
            masks.
    """
    if all(isinstance(part.targets, ClassIds) for part in dataset.parts):
        return dataset
    if len(dataset.labels) < 2:
        raise UsageError(
            f"{dataset.name}: expected at least 2 classes, to classify images by, received {list(dataset.labels)}"
        )
    return replace(dataset, parts=tuple(replace(part, targets=_classes(dataset, part)) for part in dataset.parts))


def with_boxes(dataset: Dataset) -> Dataset:
    """Returns the data as a detector takes them, which is as they are: images without an object teach too.

    Raises:
        UsageError: the data have no boxes, or the part to learn from has no object that is learned.
    """
    for part in dataset.parts:
        targets = _boxes(dataset, part)
        learned = any((~(image.crowd | image.difficult)).any() for image in targets.images)
        if part.part == "train" and not learned:
            raise UsageError(
                f"{dataset.name}: expected an object in the {part.part} part that is neither a crowd nor difficult, "
                "received none"
            )
    return dataset


def with_masks(dataset: Dataset) -> Dataset:
    """Returns the data as a segmenter takes them: of data with boxes the masks behind them, where they know those.

    The masks behind boxes have a class more, `GROUND`, before the others. The fingerprint stays, since the data are the
    same.

    Raises:
        UsageError: the data have no masks; or all that is to be learned from is ignored.
    """
    dataset = replace(dataset, parts=tuple(_masked(dataset, part) for part in dataset.parts))
    for part in dataset.parts:
        if part.part == "train" and not part.targets.counts(len(part.labels)).any():
            raise UsageError(
                f"{dataset.name}: expected a pixel in the train part that is not ignored, received none in "
                f"{len(part)} masks"
            )
    return dataset


def with_answers(dataset: Dataset) -> Dataset:
    """Returns the data as a model takes them that answers questions: of scenes what can be asked about them.

    The fingerprint stays, since the data are the same.

    Raises:
        UsageError: the data have no questions; or all have the same answer.
    """
    dataset = replace(dataset, parts=tuple(_asked(dataset, part) for part in dataset.parts))
    if len(dataset.labels) < 2:
        raise UsageError(
            f"{dataset.name}: expected questions with at least 2 different answers, received {list(dataset.labels)}"
        )
    return dataset


def largest_boxes(dataset: Dataset) -> Dataset:
    """Returns the data as a localizer takes them: of each image the largest object, of equal ones the first.

    Groups of objects (`crowd`) do not count. Images without an object are left out. How many objects and images were
    left out is said in the log. The fingerprint stays, since the data are the same.

    Raises:
        UsageError: the data have no boxes; or a part has none.
    """
    for part in dataset.parts:
        _boxes(dataset, part)
    single = [_single(dataset, part) for part in dataset.parts]
    objects = sum(len(image) for part in dataset.parts for image in _boxes(dataset, part).images)
    images = sum(map(len, dataset.parts)) - sum(map(len, single))
    taken = sum(map(len, single))
    if objects > taken or images:
        logger.warning(
            "%s: one object an image, its largest: left out %d of %d objects and %d images without one",
            *(dataset.name, objects - taken, objects, images),
        )
    return replace(dataset, parts=tuple(single))


def _single(dataset: Dataset, part: Samples) -> Samples:
    shown, largest = [], []
    for index, image in enumerate(_boxes(dataset, part).images):
        alone = image.subset(np.flatnonzero(~image.crowd))
        if len(alone):
            shown.append(index)
            largest.append(alone.subset(np.array([alone.areas().argmax()])))
    if not shown:
        raise UsageError(f"{dataset.name}: expected an object in the {part.part} part, received none")
    left = part.subset(np.array(shown))
    return replace(left, targets=Boxes(tuple(largest)))


def _boxes(dataset: Dataset, part: Samples) -> Boxes:
    if not isinstance(part.targets, Boxes):
        raise UsageError(
            f"{dataset.name}: expected data with boxes (Pascal VOC, COCO, YOLO or shapes), received "
            f"{_KINDS[type(part.targets)]}"
        )
    return part.targets


def _masked(dataset: Dataset, part: Samples) -> Samples:
    if isinstance(part.targets, Masks):
        return part
    if isinstance(part.targets, Boxes) and part.targets.masks is not None:
        return replace(part, targets=part.targets.masks, labels=(GROUND, *part.labels))
    raise UsageError(
        f"{dataset.name}: expected data with masks (images/ and masks/, SegmentationClass/ or shapes), received "
        f"{_KINDS[type(part.targets)]}. Where masks lie besides, write masks:PATH."
    )


def _asked(dataset: Dataset, part: Samples) -> Samples:
    if isinstance(part.targets, Answers):
        return part
    if isinstance(part.targets, Boxes) and part.targets.answers is not None:
        return replace(part, targets=part.targets.answers, labels=part.targets.answers.names)
    raise UsageError(
        f"{dataset.name}: expected data with questions (questions.json beside images/, or shapes), received "
        f"{_KINDS[type(part.targets)]}"
    )


def _classes(dataset: Dataset, part: Samples) -> Targets:
    if isinstance(part.targets, ClassIds):
        return part.targets
    class_ids = []
    for index, image in enumerate(_boxes(dataset, part).images):
        found = np.unique(image.class_ids)
        if len(found) != 1:
            names = ", ".join(repr(part.labels[class_id]) for class_id in found) or "no object"
            raise UsageError(
                f"{part.describe(index)}: expected objects of one class in each image, to classify images by, "
                f"received {names}"
            )
        class_ids.append(found[0])
    return ClassIds(np.array(class_ids, np.int64))
