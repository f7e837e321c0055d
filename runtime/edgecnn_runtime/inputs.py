"""From what the user gives to what a graph takes: one array an input, and where the image lies in its pixels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.errors import ProposalsError, QuestionError
from edgecnn_runtime.images import ImageSource
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.model import Feeds
from edgecnn_runtime.preprocessing import Placement, Preprocessor
from edgecnn_runtime.proposals import Proposals
from edgecnn_runtime.questions import Question, QuestionReader, Read


class Prepared(NamedTuple):
    """An image that is ready to run, with the question about it where there is one.

    Attributes:
        feeds: one array an input, one row each; the image's is (1, H, W, C) uint8.
        placement: where the image lies in its pixels.
        question: what is asked; None where no question is.
    """

    feeds: Feeds
    placement: Placement
    question: Question | None = None


class Batch(NamedTuple):
    """A few images that are ready to run, and what the data say of them.

    Attributes:
        feeds: one array an input, N rows each.
        placements: N of them, where each image lies in its pixels.
        truths: of N images, for the metric of the task alone; None where the data say nothing.
    """

    feeds: Feeds
    placements: Sequence[Placement]
    truths: Any = None

    def __len__(self) -> int:
        return len(self.placements)


class Inputs:
    """Makes what a graph takes, as its manifest says, or of a graph that takes tiles what they are cut from.

    Args:
        manifest: of the model.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._name, self._text = manifest.image_input.name, manifest.text_input
        self._regions = manifest.proposals_input
        self._preprocess = preprocessor_of(manifest)
        self._read = None if self._text is None else QuestionReader(self._text)

    def __call__(
        self, image: ImageSource, question: str | None = None, *, proposals: Proposals | None = None
    ) -> Prepared:
        """Returns the feeds of one image.

        Args:
            image: as `Preprocessor` takes it.
            question: about it, where the model takes one.
            proposals: boxes of the picture, (P, 4) xyxy in its pixels, or what proposes some on the network's pixels,
                where the model looks at regions that it does not propose itself.

        Raises:
            ImageError: the image cannot be read or is refused.
            QuestionError: the model takes a question, and there is none or one without a word; or it takes none.
            ProposalsError: likewise of regions.
            TypeError: the image is none.
        """
        (prepared,) = self.of_questions(image, None if question is None else [question], proposals=proposals)
        return prepared

    def of_questions(
        self, image: ImageSource, questions: Sequence[str] | None, *, proposals: Proposals | None = None
    ) -> list[Prepared]:
        """Returns the feeds of one image for each of several questions; the image is read once.

        Args:
            image: as `Preprocessor` takes it.
            questions: one or more, where the model takes one; else None.
            proposals: as for one question.

        Raises:
            ImageError: as for one question, like the others.
            QuestionError: likewise.
            ProposalsError: likewise.
            TypeError: likewise.
        """
        asked = self.read(questions)
        self.check_proposals(proposals)
        pixels, placement = self._preprocess(image)
        if self._regions is not None and proposals is not None:
            regions = self._regions.read(proposals, pixels, placement)
            return [Prepared({self._name: pixels, self._regions.name: regions}, placement)]
        if self._text is None:
            return [Prepared({self._name: pixels}, placement)]
        return [Prepared({self._name: pixels, self._text.name: ids}, placement, question) for ids, question in asked]

    def read(self, questions: Sequence[str] | None) -> list[Read]:
        """Returns the questions as the network takes them; none of a model that takes none.

        Args:
            questions: as for `of_questions`.

        Raises:
            QuestionError: as for `of_questions`.
        """
        if self._read is None:
            if questions is not None:
                raise QuestionError("question: expected none, since this model takes an image alone, received one")
            return []
        if not questions:
            raise QuestionError("question: expected one, since this model answers questions, received none")
        return [self._read(text) for text in questions]

    def check_proposals(self, proposals: Any) -> None:
        """Refuses regions for a model that takes none, and none for one that does.

        Args:
            proposals: of one image or of many; None where there are none.

        Raises:
            ProposalsError: see above.
        """
        if self._regions is None and proposals is not None:
            raise ProposalsError("proposals: expected none, since this model takes an image alone, received some")
        if self._regions is not None and proposals is None:
            raise ProposalsError(
                f"proposals: expected up to {self._regions.count} boxes of the picture, since this model looks at "
                "regions and proposes none itself, received none"
            )


def preprocessor_of(manifest: Manifest) -> Preprocessor:
    """Returns what makes the pixels of an image as a model wants them; where it takes tiles, those of the image."""
    image = manifest.image_input
    if manifest.decoder.cut_into() is not None:
        image = replace(image, height=None, width=None, resize="pad", crop_fraction=None, pad_value=None, multiple_of=1)
    return Preprocessor(image)


def join(feeds: Sequence[Feeds]) -> dict[str, npt.NDArray[Any]]:
    """Returns the rows of several feeds, one after the other, for one run; the inputs' sizes must be the same."""
    return {name: np.concatenate([each[name] for each in feeds]) for name in feeds[0]}
