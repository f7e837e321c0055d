"""Questions about images: which answer is right, and how sure the model is.

No proof stands on these lines alone: an export compares their scores with those that the source gives by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from PIL import Image

from edgecnn_runtime.decoders import TaskName
from edgecnn_runtime.evidence import AnswersParity, ScoresParity
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.scores import SHOWN, ScoredClasses, ScoresAlone, softmax
from edgecnn_runtime.tasks.task import Outputs, Task, read_output

if TYPE_CHECKING:
    from edgecnn_runtime.fonts import Typeface


@dataclass(frozen=True, slots=True, eq=False)
class Answer(ScoredClasses):
    """The scores of all answers to one question about one image; `question` says what was asked.

    Attributes:
        scores: (answers,) float32, probabilities whose sum is 1.
    """

    task: ClassVar[TaskName] = "question"

    def predictions(self, limit: int = SHOWN) -> list[dict[str, Any]]:
        """Returns the JSON objects of the likeliest answers; as for every `Result`."""
        return [
            {"name": best.label, "class": best.class_id, "confidence": best.score, "answer": best.name}
            for best in self.listed(limit)
        ]

    def drawn(self, picture: Image.Image, limit: int, typeface: "Typeface") -> Image.Image:
        """Writes the question and the likeliest answers under the picture; as for every `Result`."""
        from edgecnn_runtime.drawing import draw_under  # most answers are never drawn

        asked = [] if self.question is None else [self.question.text]
        return draw_under(picture, [*asked, *self.captions(limit)], typeface=typeface)


class _Question(ScoresAlone):
    """The task."""

    name: TaskName = "question"
    word: str | None = None  # no YOLO runtime asks
    record: type[ScoresParity] = AnswersParity

    def decode(self, manifest: Manifest, outputs: Outputs, placements: Sequence[Placement]) -> list[Answer]:
        """Returns one result a question, each of which has its image's placement."""
        scores = softmax(read_output(manifest.output(manifest.decoder.output), outputs, len(placements)))
        return [
            Answer(row, labels=manifest.labels, shape=placement.image_size)
            for row, placement in zip(scores, placements, strict=True)
        ]


QUESTION: Task[Answer] = _Question()
