"""A made-up task of the runtime: an image shows one number, 0 to 1, as an instrument's needle does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgecnn_runtime.decoders import TaskName
from edgecnn_runtime.evidence import ReadingParity
from edgecnn_runtime.golden import Held
from edgecnn_runtime.results import Result
from edgecnn_runtime.tasks.task import Agreement, Task, read_output


@dataclass(frozen=True, slots=True, eq=False)
class Reading(Result):
    """The number that an image shows, 0 to 1."""

    task: ClassVar[TaskName] = "reading"
    value: float

    def predictions(self, limit: int = 1) -> list[dict[str, Any]]:
        del limit
        return [{"value": self.value}]

    def lines(self, limit: int = 1) -> list[str]:
        del limit
        return [f"{self.value:.3f}"]

    def drawn(self, picture, limit, typeface):
        from edgecnn_runtime.drawing import draw_lines

        return draw_lines(picture, self.lines(limit), typeface=typeface)


class _Reading:
    name: TaskName = "reading"
    word = None
    columns = ("value",)
    shown = 1
    unsure = False

    def decode(self, manifest, outputs, placements) -> list[Reading]:
        values = read_output(manifest.output(manifest.decoder.output), outputs, len(placements))
        return [
            Reading(float(np.clip(value, 0, 1)), labels=manifest.labels, shape=place.image_size)
            for value, place in zip(values[:, 0], placements, strict=True)
        ]

    def compared_by(self, manifest, outputs):
        del outputs
        return manifest

    def aligned(self, manifest, reference, candidate, *, exact):
        del manifest, reference, exact
        return candidate

    def agreement(self, reference: Reading, candidate: Reading) -> Agreement:
        apart = abs(reference.value - candidate.value)
        return Agreement(
            apart < 0.01, margin=0.0, largest_log=0.0, differences={"readings": apart}, relative={"readings": apart}
        )

    def parity(self, images: int, agreeing: int, differences: Mapping[str, float], compared: int) -> ReadingParity:
        del compared
        return ReadingParity(images, agreeing / max(images, 1), differences.get("readings", 0.0))

    def hold(self, result: Reading, limit: int | None = None) -> Held:
        del limit
        return Held(words={}, numbers={"value": result.value}, told=f"{result.value:.3f}")


READING: Task[Reading] = _Reading()
Results = Sequence[Reading]
