"""Results: plain values with labels, the provider that ran, the time it took, `to_dict()` and `draw(image)`."""

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgecnn_runtime.images import ImageSource, open_image
from edgecnn_runtime.scores import top_k

if TYPE_CHECKING:
    from edgecnn_runtime.fonts import Typeface

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Score:
    """One class and how sure the model is of it.

    Attributes:
        label: the class's name; None for a model that never saw data.
        class_id: its index in the model's output.
        score: 0 to 1.
    """

    label: str | None
    class_id: int
    score: float


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


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """The class scores of one image.

    Attributes:
        scores: (classes,) float32, each 0 to 1: probabilities whose sum is 1; or, where several classes are scored each
            for itself, how likely each is whatever the others are.
        labels: one name a class, or None for a model that never saw data.
        shape: (height, width) of the displayed image, in pixels.
        source: the path or name of the image; None for an image out of memory.
        provider: the execution provider that ran; None for results that did not come from a Session.
        speed_ms: how long it took; None where it was not measured.
        frames: how many the image's file holds (GIF, TIFF, animations); the first was answered.
    """

    scores: npt.NDArray[np.float32]
    labels: Sequence[str] | None
    shape: tuple[int, int]
    source: str | None = None
    provider: str | None = None
    speed_ms: Speed | None = None
    frames: int = 1

    @property
    def class_id(self) -> int:
        """The best class's index; of equal ones the lowest."""
        return int(self.scores.argmax())

    @property
    def label(self) -> str | None:
        """The best class's name; None for a model that never saw data."""
        return None if self.labels is None else self.labels[self.class_id]

    @property
    def score(self) -> float:
        """The best class's score."""
        return float(self.scores.max())

    def top(self, k: int) -> list[Score]:
        """Returns the k best classes, best first; of equal ones the lower class id comes first.

        Raises:
            ValueError: k is below 1.

        Example:
            >>> Classification(np.array([0.25, 0.75], dtype=np.float32), ("cat", "dog"), (28, 28)).top(1)
            [Score(label='dog', class_id=1, score=0.75)]
        """
        labels = self.labels
        return [
            Score(None if labels is None else labels[index], index, float(self.scores[index]))
            for index in top_k(self.scores, k).tolist()
        ]

    def to_dict(self, top_k: int = 5) -> dict[str, Any]:
        """Returns the JSON object of one image, with its best classes as predictions, and `frames` where over one."""
        predictions = [
            {"name": best.label, "class": best.class_id, "confidence": best.score} for best in self.top(top_k)
        ]
        return {
            "source": self.source,
            "shape": list(self.shape),
            **({} if self.frames == 1 else {"frames": self.frames}),
            "task": "classification",
            "provider": self.provider,
            "speed_ms": None if self.speed_ms is None else asdict(self.speed_ms),
            "predictions": predictions,
        }

    def draw(
        self, image: ImageSource, *, top_k: int = 1, font: "Typeface | str | os.PathLike[str] | None" = None
    ) -> Image.Image:
        """Returns an RGB copy of the image with the best classes and their scores written on it.

        A small image is enlarged by a whole factor, so that the text is readable.

        Args:
            image: the image that was classified, as `Predictor.predict` takes it.
            top_k: how many classes to write, one a line.
            font: a font file (.ttf, .otf, .ttc), by default Pillow's own font or one of this system. Letters that it
                lacks are drawn as boxes and logged as a warning. A `fonts.Typeface` keeps them instead, and is opened
                once for many pictures.

        Raises:
            ImageError: the image cannot be read.
            ValueError: the font cannot be read.
            EdgeCNNError: the font is damaged.
        """
        from edgecnn_runtime.drawing import draw_lines  # most answers are never drawn
        from edgecnn_runtime.fonts import Typeface

        lines = [f"{best.class_id if best.label is None else best.label} {best.score:.1%}" for best in self.top(top_k)]
        typeface = font if isinstance(font, Typeface) else Typeface(font)
        drawn = draw_lines(open_image(image), lines, typeface=typeface)
        if typeface is not font and typeface.warning:
            _LOGGER.warning("%s", typeface.warning)
        return drawn


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

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object of a failed image."""
        return {"source": self.source, "error": {"kind": self.kind, "message": self.message}}


Result = Classification
