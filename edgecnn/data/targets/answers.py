"""The questions about each image, with their answers."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets.protocol import rarest_classes


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about an image, and its answer.

    Attributes:
        text: of the question.
        kind: of the question, by which scores are told apart.
        class_id: of the answer, a position in the labels.
    """

    text: str
    kind: str
    class_id: int


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The questions about each image, none about some.

    Attributes:
        images: N of them.
        names: of the answers by class id, where they are not the part's labels.
    """

    contradiction: ClassVar[str] = "with other questions or answers"

    images: tuple[tuple[Asked, ...], ...]
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: npt.NDArray[np.integer]) -> "Answers":
        """Returns the questions about the images at those positions, in that order."""
        return Answers(tuple(self.images[index] for index in indices), self.names)

    def joined(self, others: Sequence["Answers"]) -> "Answers":
        """Returns these questions and those of other parts behind them."""
        return Answers(self.images + tuple(image for other in others for image in other.images), self.names)

    def classes(self) -> npt.NDArray[np.int64]:
        """Returns for each image the rarest answer about it, see `rarest_classes`."""
        ids = [[asked.class_id for asked in image] for image in self.images]
        largest = max((max(of_image, default=0) for of_image in ids), default=0)
        return rarest_classes(ids, self.counts(1 + largest))

    def counts(self, num_classes: int) -> npt.NDArray[np.int64]:
        """Returns about how many images a question has each answer."""
        given = [np.unique([asked.class_id for asked in image]).astype(np.int64) for image in self.images]
        return np.bincount(np.concatenate([*given, np.zeros(0, np.int64)]), minlength=num_classes)

    def digest(self, index: int) -> bytes:
        """Returns the SHA-256 over the image's questions and answers, in their order."""
        said = [[asked.text, asked.class_id] for asked in self.images[index]]
        return hashlib.sha256(json.dumps(said).encode()).digest()

    def truth(self, index: int) -> tuple[Asked, ...]:
        """Returns the questions about one image."""
        return self.images[index]

    def truths(self, to_model: npt.NDArray[np.int64]) -> list[tuple[Asked, ...]]:
        """Returns the questions about each image, with the model's class ids."""
        return [
            tuple(replace(asked, class_id=int(to_model[asked.class_id])) for asked in image) for image in self.images
        ]

    def every(self) -> list[Asked]:
        """Returns all questions, image by image."""
        return [asked for image in self.images for asked in image]
