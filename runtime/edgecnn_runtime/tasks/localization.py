"""Localization: which class the one object of an image is of, and where it is.

No proof stands on these lines alone: an export compares their answers with those that the source gives by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgecnn_runtime.decoders import LocationDecoder, TaskName
from edgecnn_runtime.evidence import LocationParity
from edgecnn_runtime.golden import Held
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.boxes import EDGES, in_images, iou, to_xyxy, told_box
from edgecnn_runtime.tasks.scores import ScoredClasses, compare_scores, hold_scores, softmax
from edgecnn_runtime.tasks.task import Agreement, Outputs, Regions, Task, read_output

if TYPE_CHECKING:
    from edgecnn_runtime.fonts import Typeface

SHOWN = 1  # predictions, where nobody says how many: there is one object


@dataclass(frozen=True, slots=True, eq=False)
class Localization(ScoredClasses):
    """The class scores of the one object in an image, and its box.

    Attributes:
        scores: (classes,) float32, probabilities whose sum is 1. With one class it is always 1: such a model says where
            an object is, and not whether there is one.
        box: (4,) float32 xyxy in pixels of the displayed image, within it and never empty: 0 <= x1 < x2 <= width and 0
            <= y1 < y2 <= height, a pixel wide and high at least.
    """

    task: ClassVar[TaskName] = "localization"
    box: npt.NDArray[np.float32]

    def predictions(self, limit: int = SHOWN) -> list[dict[str, Any]]:
        """Returns the JSON object of what was found: one, and up to `limit` where more are asked for.

        Those that follow are no further objects but what else the one in the box may be, so they have its box.

        Example:
            >>> found = Localization(np.float32([0.25, 0.75]), np.float32([1, 2, 5, 4]), labels=None, shape=(8, 8))
            >>> found.predictions()
            [{'name': None, 'class': 1, 'confidence': 0.75, 'box': {'x1': 1.0, 'y1': 2.0, 'x2': 5.0, 'y2': 4.0}}]
        """
        box = dict(zip(EDGES, self.box.tolist(), strict=True))
        return [
            {"name": best.label, "class": best.class_id, "confidence": best.score, "box": dict(box)}
            for best in self.listed(limit)
        ]

    def lines(self, limit: int = SHOWN) -> list[str]:
        """Returns the best classes with their scores, and with the first where it is; as for every `Result`."""
        return super(Localization, self).lines(limit)  # slots make the class anew, which a bare super() does not see

    def told(self, limit: int) -> list[str]:
        """Returns the best classes with their scores, and with the first where it is."""
        first, *others = super(Localization, self).told(limit)
        return [f"{first} at {told_box(self.box)}", *others]

    def drawn(self, picture: Image.Image, limit: int, typeface: "Typeface") -> Image.Image:
        """Draws the box in the colour of its class, with the best classes and their scores; as for every `Result`."""
        from edgecnn_runtime.drawing import draw_boxes, draw_lines  # most answers are never drawn

        captions = self.captions(limit)
        if self.is_unsure:
            return draw_lines(picture, captions, typeface=typeface)
        return draw_boxes(picture, [self.box.tolist()], [self.class_id], [", ".join(captions)], typeface=typeface)

    def parts(self) -> dict[str, float]:
        """Returns the edges of the box by name, x as parts of the image's width and y of its height, each 0 to 1."""
        height, width = self.shape
        return {name: float(at) / side for name, at, side in zip(EDGES, self.box, (width, height) * 2, strict=True)}


class _Localization:
    """The task."""

    name: TaskName = "localization"
    # YOLO runtimes read what they call "detect" as rows of candidates for non-max suppression, which these outputs are
    # not: https://docs.ultralytics.com/tasks/
    word: str | None = None
    columns: tuple[str, ...] = ("name", "class", "confidence", *EDGES)
    regions: Regions | None = "boxes"
    shown = SHOWN
    unsure = True

    def decode(self, manifest: Manifest, outputs: Outputs, placements: Sequence[Placement]) -> list[Localization]:
        """Returns one result an image."""
        decoder, count = cast(LocationDecoder, manifest.decoder), len(placements)
        scores = softmax(read_output(manifest.output(decoder.output), outputs, count))  # (N, classes)
        parts = read_output(manifest.output(decoder.boxes), outputs, count).astype(np.float64).clip(0, 1)  # (N, 4)
        parts[:, 2:] **= 2
        image = manifest.image_input
        size = np.array([image.width, image.height] * 2, np.float64)
        boxes = in_images(to_xyxy(parts * size), placements)
        return [
            Localization(row, box, labels=manifest.labels, shape=placement.image_size)
            for row, box, placement in zip(scores, boxes, placements, strict=True)
        ]

    def compared_by(self, manifest: Manifest, outputs: Outputs) -> Manifest:
        """Returns the manifest itself: every image has an answer."""
        del outputs
        return manifest

    def aligned(self, manifest: Manifest, reference: Outputs, candidate: Outputs, *, exact: bool) -> Outputs:
        """Returns the candidate's outputs as they are: no decoder of this task ranks."""
        del manifest, reference, exact
        return candidate

    def agreement(self, reference: Localization, candidate: Localization) -> Agreement:
        """Compares all scores as for classification, and the boxes by what their IoU lacks of 1."""
        found, apart = compare_scores(reference.scores, candidate.scores), 1 - float(iou(reference.box, candidate.box))
        return replace(
            found,
            differences={**found.differences, "boxes": apart},
            relative={**found.relative, "boxes": apart},
        )

    def parity(self, images: int, agreeing: int, differences: Mapping[str, float], compared: int) -> LocationParity:
        """Returns the record for the evidence."""
        del compared
        return LocationParity(
            images, agreeing / max(images, 1), differences.get("scores", 0.0), 1 - differences.get("boxes", 0.0)
        )

    def hold(self, result: Localization, limit: int | None = None) -> Held:
        """Holds the best classes' names and scores, and the edges of the box as parts of the image's sides."""
        held = hold_scores(result.top(len(result.scores) if limit is None else limit))
        edges = {f"{name} of the box": part for name, part in result.parts().items()}
        return Held(held.words, {**held.numbers, **edges}, f"{held.told} at {told_box(result.box)}")


LOCALIZATION: Task[Localization] = _Localization()
