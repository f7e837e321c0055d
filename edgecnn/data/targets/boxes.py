"""The objects in each image, with a box round each."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets.answers import Answers
from edgecnn.data.targets.masks import Masks
from edgecnn.data.targets.protocol import rarest_classes


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """What is marked in one image.

    Attributes:
        boxes: (n, 4) float32, xyxy in pixels of the displayed image (EXIF turns undone), 0 <= x1 < x2 <= width.
        class_ids: (n,) int64, each a position in the labels.
        difficult: (n,) bool: whether an evaluation neither counts nor blames an answer there, as Pascal VOC has it.
        crowd: (n,) bool: whether the box is round a group of objects, as COCO has it.
    """

    boxes: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    difficult: npt.NDArray[np.bool_]
    crowd: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        shapes = [array.shape for array in (self.boxes, self.class_ids, self.difficult, self.crowd)]
        count = len(self.boxes)
        if shapes != [(count, 4), (count,), (count,), (count,)]:
            raise ValueError(f"expected boxes (n, 4) and a class and two flags for each, received {shapes}")

    @classmethod
    def of(
        cls,
        boxes: Sequence[Sequence[float]],
        class_ids: Sequence[int],
        *,
        difficult: Sequence[bool] | None = None,
        crowd: Sequence[bool] | None = None,
    ) -> "Objects":
        """Returns the objects that plain lists describe; flags that are not given are False.

        >>> Objects.of([(0, 0, 4, 2)], [1]).areas().tolist()
        [8.0]
        """
        unset = [False] * len(boxes)
        return cls(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(class_ids, np.int64),
            np.array(unset if difficult is None else difficult, bool),
            np.array(unset if crowd is None else crowd, bool),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def subset(self, indices: npt.NDArray[np.integer]) -> "Objects":
        """Returns the objects at those positions, in that order."""
        return Objects(self.boxes[indices], self.class_ids[indices], self.difficult[indices], self.crowd[indices])

    def areas(self) -> npt.NDArray[np.float32]:
        """Returns the area of each box in pixels, (n,)."""
        return (self.boxes[:, 2] - self.boxes[:, 0]) * (self.boxes[:, 3] - self.boxes[:, 1])


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """The objects in each image, none of them in some.

    Attributes:
        images: N of them.
        masks: of the same N images, where the data know what each pixel shows: class 0 where no object is, and one more
            than the object's class elsewhere. They take no part in anything here; `edgecnn.data.narrowing.with_masks`
            makes labels of them.
        answers: to questions about the same N images, where the data know such, with the answers' names. They take no
            part here either; `edgecnn.data.narrowing.with_answers` makes labels of them.
    """

    contradiction: ClassVar[str] = "with other boxes"

    images: tuple[Objects, ...]
    masks: Masks | None = None
    answers: Answers | None = None

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: npt.NDArray[np.integer]) -> "Boxes":
        """Returns the objects of the images at those positions, in that order."""
        masks = None if self.masks is None else self.masks.subset(indices)
        answers = None if self.answers is None else self.answers.subset(indices)
        return Boxes(tuple(self.images[index] for index in indices), masks, answers)

    def joined(self, others: Sequence["Boxes"]) -> "Boxes":
        """Returns these objects and those of other parts behind them."""
        masks = [one.masks for one in (self, *others) if one.masks is not None]
        joined = masks[0].joined(masks[1:]) if len(masks) == 1 + len(others) else None
        answers = [one.answers for one in (self, *others) if one.answers is not None]
        asked = answers[0].joined(answers[1:]) if len(answers) == 1 + len(others) else None
        return Boxes(self.images + tuple(image for other in others for image in other.images), joined, asked)

    def classes(self) -> npt.NDArray[np.int64]:
        """Returns for each image the rarest class in it, see `rarest_classes`.

        >>> few = [Objects.of([(0, 0, 1, 1)] * len(ids), ids) for ids in [[0, 1]] * 5 + [[0]] * 6 + [[2], []]]
        >>> Boxes(tuple(few)).classes().tolist()
        [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, -1, -1]
        """
        largest = max((int(image.class_ids.max(initial=0)) for image in self.images), default=0)
        return rarest_classes([image.class_ids.tolist() for image in self.images], self.counts(1 + largest))

    def counts(self, num_classes: int) -> npt.NDArray[np.int64]:
        """Returns in how many images there is an object of each class."""
        shown = [np.unique(image.class_ids) for image in self.images]
        return np.bincount(np.concatenate([*shown, np.zeros(0, np.int64)]), minlength=num_classes)

    def digest(self, index: int) -> bytes:
        """Returns the SHA-256 over the image's objects, in their order."""
        image = self.images[index]
        digest = hashlib.sha256(len(image).to_bytes(8, "little"))
        for array, dtype in (
            (image.boxes, "<f4"),
            (image.class_ids, "<i8"),
            (image.difficult, "u1"),
            (image.crowd, "u1"),
        ):
            digest.update(np.ascontiguousarray(array.astype(dtype)).tobytes())
        return digest.digest()

    def truth(self, index: int) -> Objects:
        """Returns the objects in one image."""
        return self.images[index]

    def truths(self, to_model: npt.NDArray[np.int64]) -> list[Objects]:
        """Returns the objects of each image, with the model's class ids."""
        return [replace(image, class_ids=to_model[image.class_ids]) for image in self.images]
