"""Classification: which class an image is of, and how sure the model is.

No proof stands on these lines alone: an export compares their scores with those that the source gives by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgecnn_runtime.decoders import DistanceDecoder, SigmoidDecoder, SoftmaxDecoder, TaskName
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.scores import SHOWN, ScoredClasses, ScoresAlone, sigmoid, softmax, two_classes
from edgecnn_runtime.tasks.task import Outputs, Task, read_output

if TYPE_CHECKING:
    from edgecnn_runtime.fonts import Typeface


@dataclass(frozen=True, slots=True, eq=False)
class Classification(ScoredClasses):
    """The class scores of one image.

    Attributes:
        scores: (classes,) float32, each 0 to 1: probabilities whose sum is 1; or, where several classes are scored each
            for itself, how likely each is whatever the others are.
    """

    task: ClassVar[TaskName] = "classification"

    def predictions(self, limit: int = SHOWN) -> list[dict[str, Any]]:
        """Returns the JSON objects of the best classes; as for every `Result`."""
        return [{"name": best.label, "class": best.class_id, "confidence": best.score} for best in self.listed(limit)]

    def drawn(self, picture: Image.Image, limit: int, typeface: "Typeface") -> Image.Image:
        """Writes the best classes and their scores, one a line; as for every `Result`."""
        from edgecnn_runtime.drawing import draw_lines  # most answers are never drawn

        return draw_lines(picture, self.captions(limit), typeface=typeface)


class _Classification(ScoresAlone):
    """The task."""

    name: TaskName = "classification"
    word: str | None = "classify"  # https://docs.ultralytics.com/tasks/

    def decode(self, manifest: Manifest, outputs: Outputs, placements: Sequence[Placement]) -> list[Classification]:
        """Returns one result an image."""
        scores = class_scores(manifest, outputs, len(placements))
        return [
            Classification(row, labels=manifest.labels, shape=placement.image_size)
            for row, placement in zip(scores, placements, strict=True)
        ]


CLASSIFICATION: Task[Classification] = _Classification()


def class_scores(manifest: Manifest, outputs: Outputs, images: int) -> npt.NDArray[np.float32]:
    """Returns the class scores that a manifest's decoder reads from raw outputs.

    Args:
        manifest: of the model that gave the outputs.
        outputs: raw outputs by name.
        images: N.

    Returns:
        (N, classes) float32.

    Raises:
        OutputError: the output holds NaN or infinity.
        SessionError: it is missing or has another shape than the manifest declares.
    """
    decoder = manifest.decoder
    values = read_output(manifest.output(decoder.output), outputs, images)  # (N, units)
    if isinstance(decoder, SoftmaxDecoder):
        return softmax(values)
    if isinstance(decoder, DistanceDecoder):
        return softmax(-values)
    # rounding alone may put a score beyond: the export saw that they are scores
    scores = sigmoid(values) if isinstance(decoder, SigmoidDecoder) else values.astype(np.float32).clip(0, 1)
    return two_classes(scores) if values.shape[1] == 1 else scores
