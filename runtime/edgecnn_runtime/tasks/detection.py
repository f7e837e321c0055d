"""Detection: which objects an image shows, and where; any number of them.

No proof stands on these lines alone: an export compares their answers with those that the source gives by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgecnn_runtime.decoders import MOST_BOXES, RegionsDecoder, SuppressedDecoder, TaskName, YoloDecoder
from edgecnn_runtime.errors import OutputError
from edgecnn_runtime.evidence import DetectionParity
from edgecnn_runtime.golden import Held
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.results import Result
from edgecnn_runtime.tasks.boxes import EDGES, in_image, non_max_suppression, told_box
from edgecnn_runtime.tasks.candidates import Candidates, are_whole, candidates, read_counts, thresholds_of
from edgecnn_runtime.tasks.detection_comparison import compare_boxes, compared_by, hold_boxes, in_one_order
from edgecnn_runtime.tasks.task import Agreement, Outputs, Regions, Task, read_output

if TYPE_CHECKING:
    from edgecnn_runtime.fonts import Typeface

SHOWN = MOST_BOXES  # where nobody says how many: all that the decoder lets through


@dataclass(frozen=True, slots=True, eq=False)
class Detections(Result):
    """The objects in one image, best first; there may be none.

    `supervision.Detections(xyxy=found.xyxy, confidence=found.confidence, class_id=found.class_id)` takes them.

    Attributes:
        boxes: (n, 4) float32 xyxy in pixels of the displayed image, within it and never empty: 0 <= x1 < x2 <= width
            and 0 <= y1 < y2 <= height, a pixel wide and high at least.
        scores: (n,) float32, 0 to 1.
        class_ids: (n,) int64.
        needed: (classes,) float32, the score that a box of each class needed to be here, 1 or more for classes that
            are not answered; None where it is not known.
    """

    task: ClassVar[TaskName] = "detection"
    drawn_by_default: ClassVar[int] = SHOWN
    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    needed: npt.NDArray[np.float32] | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def xyxy(self) -> npt.NDArray[np.float32]:
        """The boxes, as supervision calls them."""
        return self.boxes

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        """The scores, as supervision calls them."""
        return self.scores

    @property
    def class_id(self) -> npt.NDArray[np.int64]:
        """The class ids, as supervision calls them."""
        return self.class_ids

    def predictions(self, limit: int = SHOWN) -> list[dict[str, Any]]:
        """Returns the JSON objects of the best boxes; as for every `Result`.

        Example:
            >>> box, score, class_id = np.float32([[1, 2, 5, 4]]), np.float32([0.75]), np.array([1])
            >>> Detections(box, score, class_id, labels=None, shape=(8, 8)).predictions()
            [{'name': None, 'class': 1, 'confidence': 0.75, 'box': {'x1': 1.0, 'y1': 2.0, 'x2': 5.0, 'y2': 4.0}}]
        """
        rows = zip(self.boxes.tolist(), self.scores.tolist(), self.class_ids.tolist(), strict=True)
        return [
            {
                "name": self.name_of(class_id),
                "class": class_id,
                "confidence": score,
                "box": dict(zip(EDGES, box, strict=True)),
            }
            for box, score, class_id in list(rows)[: _positive(limit)]
        ]

    def lines(self, limit: int = SHOWN) -> list[str]:
        """Returns how many of each class are among the best boxes, the best class first, and where a single one is."""
        ids = self.class_ids[: _positive(limit)]
        if not len(ids):
            return ["nothing"]
        return [self._told(class_id, np.flatnonzero(ids == class_id)) for class_id in dict.fromkeys(ids.tolist())]

    def drawn(self, picture: Image.Image, limit: int, typeface: "Typeface") -> Image.Image:
        """Draws the best boxes in the colours of their classes, with class and score; as for every `Result`."""
        from edgecnn_runtime.drawing import draw_boxes  # most answers are never drawn

        ids = self.class_ids[: _positive(limit)].tolist()
        captions = [
            f"{name if (name := self.name_of(class_id)) is not None else class_id} {score:.0%}"
            for class_id, score in zip(ids, self.scores.tolist(), strict=False)
        ]
        return draw_boxes(picture, self.boxes[: len(ids)].tolist(), ids, captions, typeface=typeface)

    def _told(self, class_id: int, own: npt.NDArray[np.intp]) -> str:
        name = self.name_of(class_id)
        name, scores = f"class {class_id}" if name is None else name, self.scores[own]
        if len(own) == 1:
            return f"{name} {scores[0]:.4f} at {told_box(self.boxes[own[0]])}"
        return f"{len(own)} {name} {scores[0]:.4f} to {scores[-1]:.4f}"


class _Detection:
    """The task."""

    name: TaskName = "detection"
    # YOLO runtimes read what they call "detect" as decoded candidates for non-max suppression, which these outputs are
    # not: https://docs.ultralytics.com/tasks/
    word: str | None = None
    columns: tuple[str, ...] = ("name", "class", "confidence", *EDGES)
    regions: Regions | None = "boxes"
    shown = SHOWN
    unsure = False

    def decode(self, manifest: Manifest, outputs: Outputs, placements: Sequence[Placement]) -> list[Detections]:
        """Returns one result an image; its cost follows what is found, and not the number of cells or regions."""
        if manifest.decoder.suppresses == "graph":
            return _read_rows(manifest, outputs, placements)
        return [
            _detections(manifest, found, placement)
            for found, placement in zip(candidates(manifest, outputs, len(placements)), placements, strict=True)
        ]

    def compared_by(self, manifest: Manifest, outputs: Outputs) -> Manifest:
        """Returns a manifest by which boxes are found, where the file's own thresholds let none through."""
        return compared_by(manifest, outputs)

    def aligned(self, manifest: Manifest, reference: Outputs, candidate: Outputs, *, exact: bool) -> Outputs:
        """Returns the candidate's rows in the reference's order, where the graph picks them: see `in_one_order`."""
        return in_one_order(manifest, reference, candidate, exact=exact) if manifest.decoder.ranks() else candidate

    def agreement(self, reference: Detections, candidate: Detections) -> Agreement:
        """Compares the two sets of boxes, partner by partner: see `compare_boxes`."""
        return compare_boxes(reference, candidate)

    def parity(self, images: int, agreeing: int, differences: Mapping[str, float], compared: int) -> DetectionParity:
        """Returns the record for the evidence."""
        return DetectionParity(
            images,
            agreeing / max(images, 1),
            differences.get("scores", 0.0),
            1 - differences.get("boxes", 0.0),
            int(differences.get("unmatched", 0.0)),
            compared,
        )

    def hold(self, result: Detections, limit: int | None = None) -> Held:
        """Holds what a little rounding moves a little, of the classes of the best boxes: see `hold_boxes`."""
        return hold_boxes(result, limit)


DETECTION: Task[Detections] = _Detection()


def _read_rows(manifest: Manifest, outputs: Outputs, placements: Sequence[Placement]) -> list[Detections]:
    """Returns what a graph found that decodes and suppresses by itself, one result an image.

    Raises:
        OutputError: there are more rows than the output holds, or one is of a class that there is not.
    """
    decoder = cast(SuppressedDecoder, manifest.decoder)
    counts = read_counts(manifest, outputs, len(placements))
    rows = read_output(manifest.output(decoder.output), outputs, len(placements))
    needed, results = thresholds_of(decoder, decoder.scored).scores, []
    for found, count, placement in zip(rows, counts, placements, strict=True):
        best = found[: min(count, decoder.most)]
        if not are_whole(best[:, 5], decoder.scored - 1):
            raise OutputError(
                f"output {decoder.output!r}: expected class ids from 0 to {decoder.scored - 1}, received "
                f"{best[:, 5].tolist()}. The file is damaged."
            )
        scores, class_ids = best[:, 4].copy(), best[:, 5].astype(np.int64)
        least = np.maximum(needed, scores[-1]) if len(best) == decoder.most else needed
        boxes = in_image(best[:, :4], placement) if len(best) else np.empty((0, 4), np.float32)
        results.append(
            Detections(boxes, scores, class_ids, needed=least, labels=manifest.labels, shape=placement.image_size)
        )
    return results


def _positive(limit: int) -> int:
    if limit < 1:
        raise ValueError(f"limit: expected 1 or more, received {limit}")
    return limit


def _detections(manifest: Manifest, found: Candidates, placement: Placement) -> Detections:
    """Returns what is left of one image's candidates.

    Args:
        manifest: of the model.
        found: what passed the thresholds.
        placement: of the image.
    """
    decoder = cast(YoloDecoder | RegionsDecoder, manifest.decoder)
    needed = thresholds_of(decoder, manifest.num_classes).scores
    boxes, scores, class_ids = found
    if len(scores):
        groups = None if decoder.agnostic else class_ids
        best = non_max_suppression(boxes, scores, groups, iou_threshold=decoder.iou_threshold, most=decoder.most)
        boxes, scores, class_ids = in_image(boxes[best], placement), scores[best], class_ids[best]
        if len(best) == decoder.most:
            needed = np.maximum(needed, scores[-1])
    return Detections(boxes, scores, class_ids, needed=needed, labels=manifest.labels, shape=placement.image_size)
