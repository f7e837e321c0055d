"""What every answer to an image is: labels, size, provider and time, with `to_dict()`, `lines()` and `draw(image)`."""

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from PIL import Image

from edgecnn_runtime.decoders import TaskName
from edgecnn_runtime.errors import EdgeCNNError
from edgecnn_runtime.images import ImageSource, open_image
from edgecnn_runtime.questions import Question

if TYPE_CHECKING:
    from edgecnn_runtime.fonts import Typeface

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Speed:
    """How long the three parts took, in milliseconds; in a batch, the batch's time divided by its images.

    Attributes:
        preprocess: from the source to pixels.
        inference: the network.
        postprocess: from raw outputs to the result.
    """

    preprocess: float
    inference: float
    postprocess: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Result:
    """The answer to one image; each task has its own, which says more.

    Attributes:
        labels: one name a class, or None for a model that never saw data.
        shape: (height, width) of the displayed image, in pixels.
        source: the path or name of the image; None for an image out of memory.
        provider: the execution provider that ran; None for results that did not come from a Session.
        speed_ms: how long it took; None where it was not measured.
        frames: how many the image's file holds (GIF, TIFF, animations); the first was answered.
        question: what was asked of it; None for a model that takes no question.
    """

    task: ClassVar[TaskName]
    drawn_by_default: ClassVar[int] = 1  # predictions on a picture
    labels: Sequence[str] | None
    shape: tuple[int, int]
    source: str | None = None
    provider: str | None = None
    speed_ms: Speed | None = None
    frames: int = 1
    question: Question | None = None

    def predictions(self, limit: int = 5) -> list[dict[str, Any]]:
        """Returns the JSON objects of what was found, best first.

        Args:
            limit: the most that are returned, 1 or more.
        """
        raise NotImplementedError

    def lines(self, limit: int = 5) -> list[str]:
        """Returns what was found in words, best first.

        Args:
            limit: as for `predictions`.
        """
        raise NotImplementedError

    def drawn(self, picture: Image.Image, limit: int, typeface: "Typeface") -> Image.Image:
        """Returns an RGB copy of an opened picture with what was found on it; `draw` is the way in.

        Args:
            picture: mode RGB or L.
            limit: as for `predictions`.
            typeface: draws the letters.
        """
        raise NotImplementedError

    def draw(
        self, image: ImageSource, *, limit: int | None = None, font: "Typeface | str | os.PathLike[str] | None" = None
    ) -> Image.Image:
        """Returns an RGB copy of the image with what was found on it.

        A small image is enlarged by a whole factor, so that the text is readable.

        Args:
            image: the image that was answered, as `Predictor.predict` takes it.
            limit: as for `predictions`; None for the best answer, or for all boxes of a detector.
            font: a font file (.ttf, .otf, .ttc), by default Pillow's own font or one of this system. Letters that it
                lacks are drawn as boxes and logged as a warning. A `fonts.Typeface` keeps them instead, and is opened
                once for many pictures.

        Raises:
            ImageError: the image cannot be read.
            ValueError: the font cannot be read.
            EdgeCNNError: the font is damaged.
        """
        from edgecnn_runtime.fonts import Typeface  # most answers are never drawn

        typeface = font if isinstance(font, Typeface) else Typeface(font)
        drawn = self.drawn(open_image(image), self.drawn_by_default if limit is None else limit, typeface)
        if typeface is not font and typeface.warning:
            _LOGGER.warning("%s", typeface.warning)
        return drawn

    def to_dict(self, limit: int | None = None) -> dict[str, Any]:
        """Returns the JSON object of one image: its predictions, `frames` where there are several, what was asked.

        Args:
            limit: as for `predictions`; None for as many as those of the task are by default.
        """
        return {
            "source": self.source,
            "shape": list(self.shape),
            **({} if self.frames == 1 else {"frames": self.frames}),
            **({} if self.question is None else self.question.to_dict()),
            "task": self.task,
            "provider": self.provider,
            "speed_ms": None if self.speed_ms is None else asdict(self.speed_ms),
            "predictions": self.predictions() if limit is None else self.predictions(limit),
        }

    def name_of(self, class_id: int) -> str | None:
        """Returns the name of a class; None for a model that never saw data."""
        return None if self.labels is None else self.labels[class_id]


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that gave no result; the others go on.

    Attributes:
        source: the path or name of the image; None for an image out of memory.
        kind: a stable word for machines: the error class's `kind`.
        message: for people.
    """

    source: str | None
    kind: str
    message: str

    @classmethod
    def of(cls, source: str | None, error: EdgeCNNError) -> "Failure":
        """Returns what an error leaves of an image."""
        return cls(source, error.kind, str(error))

    @classmethod
    def for_memory(cls, source: str | None) -> "Failure":
        """Returns what a lack of memory leaves of an image."""
        which = "image" if source is None else source
        return cls(
            source, "memory", f"{which}: there is not enough memory to answer it. Take a smaller batch or image."
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object of a failed image."""
        return {"source": self.source, "error": {"kind": self.kind, "message": self.message}}
