"""Pictures of an evaluation: the images that a model answers worst, and what its task draws besides."""

import heapq
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecnn.data.samples import Samples
from edgecnn.data.sheets import Cell, labelled_cell, write_sheet
from edgecnn.evaluation.metrics import Evaluation
from edgecnn.tasks.table import TASKS, WORST, load
from edgecnn_runtime.fonts import Typeface
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.results import Result

_MOST = 12  # images on a sheet
_COLUMNS = 4  # two images, each twice; or one of a task that draws four cells of it


class Answered(NamedTuple):
    """An image of a part, and what it was answered.

    Attributes:
        position: of the image in the part.
        score: of the answer, 0 to 1, by the task's metric.
        result: decoded as that metric takes it.
    """

    position: int
    score: float
    result: Any


class Worst:
    """Keeps the results with the lowest scores, of equal ones the first.

    Attributes:
        limit: how many are kept.
    """

    def __init__(self, limit: int = _MOST) -> None:
        self.limit = limit
        # (-score, -position, -number, result), the best of the kept ones first; a position may have several results
        self._kept: list[tuple[float, int, int, Any]] = []
        self._count = 0

    def add(self, positions: npt.NDArray[np.int64], results: Sequence[Result], scores: npt.NDArray[np.float64]) -> None:
        """Adds a batch.

        Args:
            positions: (N,) of the images in their part.
            results: N of them.
            scores: (N,) the higher, the better.
        """
        for position, result, score in zip(positions.tolist(), results, scores.tolist(), strict=True):
            self._count += 1
            entry = (-score, -position, -self._count, result)
            if len(self._kept) < self.limit:
                heapq.heappush(self._kept, entry)
            else:
                heapq.heappushpop(self._kept, entry)

    def found(self) -> list[Answered]:
        """Returns those that are kept, the worst first."""
        ordered = sorted(self._kept, key=lambda entry: entry[:3], reverse=True)
        return [Answered(-position, -score, result) for score, position, _, result in ordered]


class EvaluationPictures:
    """Draws worst.png, the images with the lowest scores of their own, and the pictures of the task.

    In worst.png each image stands as often as the task's row draws it: as the data label it, as it was answered, and
    perhaps by itself and where the two differ.

    Args:
        folder: is made where it is missing.
        typeface: draws the letters.

    Attributes:
        worst: is to be fed while the model is evaluated.
    """

    def __init__(self, folder: Path, typeface: Typeface) -> None:
        self._folder, self._typeface = folder, typeface
        self.worst = Worst()

    def draw(self, manifest: Manifest, samples: Samples, evaluation: Evaluation) -> None:
        """Writes the pictures.

        Args:
            manifest: of the model.
            samples: the part that was evaluated.
            evaluation: of the model over it.

        Raises:
            WriteError: a picture cannot be written.
        """
        row = TASKS[manifest.task]
        draw_cells = load(row.worst_cells)
        found = self.worst.found()
        cells = [cell for one in found for cell in draw_cells(manifest, samples, one, typeface=self._typeface)]
        if cells:
            write_sheet(cells, self._folder / WORST, _COLUMNS, typeface=self._typeface)
        if row.pictures is not None:
            load(row.pictures)(evaluation, self._folder)

    @property
    def warning(self) -> str | None:
        """Which letters the font lacked, for people; None where it had all."""
        return self._typeface.warning


def labelled_and_answered(
    manifest: Manifest, samples: Samples, answered: Answered, *, typeface: Typeface
) -> tuple[Cell, Cell]:
    """Returns an image as the data label it, and the same one as its result draws it.

    Args:
        manifest: of the model.
        samples: the part that was evaluated.
        answered: one of its images.
        typeface: draws the letters.
    """
    del manifest
    drawn = answered.result.draw(samples[answered.position][0], font=typeface)
    return labelled_cell(samples, answered.position, typeface), Cell(drawn, f"answered, {answered.score:.4f}")
