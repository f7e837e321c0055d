"""Pictures of an evaluation: the images that a model answers worst, and what its task draws besides."""

import heapq
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.samples import Samples
from edgecnn.data.sheets import Cell, labelled_cell, write_sheet
from edgecnn.evaluation.metrics import Evaluation
from edgecnn.tasks.table import TASKS, load
from edgecnn_runtime.fonts import Typeface
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.results import Result

WORST = "worst.png"
_MOST = 12  # images on a sheet
_COLUMNS = 4  # two images, each twice


class Worst:
    """Keeps the results with the lowest scores, of equal ones the first.

    Attributes:
        limit: how many are kept.
    """

    def __init__(self, limit: int = _MOST) -> None:
        self.limit = limit
        self._kept: list[tuple[float, int, Any]] = []  # (-score, -position, result), the best of the kept ones first

    def add(self, positions: npt.NDArray[np.int64], results: Sequence[Result], scores: npt.NDArray[np.float64]) -> None:
        """Adds a batch.

        Args:
            positions: (N,) of the images in their part.
            results: N of them.
            scores: (N,) the higher, the better.
        """
        for position, result, score in zip(positions.tolist(), results, scores.tolist(), strict=True):
            entry = (-score, -position, result)
            if len(self._kept) < self.limit:
                heapq.heappush(self._kept, entry)
            else:
                heapq.heappushpop(self._kept, entry)

    def found(self) -> list[tuple[int, float, Result]]:
        """Returns position, score and result of each, the worst first."""
        ordered = sorted(self._kept, key=lambda entry: entry[:2], reverse=True)
        return [(-position, -score, result) for score, position, result in ordered]


class EvaluationPictures:
    """Draws worst.png, where the metric is a mean over the images, and the pictures of the task.

    In worst.png each image stands twice: as the data label it, and beside that as it was answered, with its score.

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
        cells: list[Cell] = []
        for position, score, result in self.worst.found():
            answered = result.draw(samples[position][0], font=self._typeface)
            cells += [labelled_cell(samples, position, self._typeface), Cell(answered, f"answered, {score:.4f}")]
        if cells:
            write_sheet(cells, self._folder / WORST, _COLUMNS, typeface=self._typeface)
        pictures = TASKS[manifest.task].pictures
        if pictures is not None:
            load(pictures)(evaluation, self._folder)

    @property
    def warning(self) -> str | None:
        """Which letters the font lacked, for people; None where it had all."""
        return self._typeface.warning
