"""The confusion matrix as a picture."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from edgecnn.figures import make_figure, plain, save_figure
from edgecnn.tasks.classification.metric import ClassificationEvaluation

_MOST_NUMBERED = 30  # classes; above, numbers in the cells are too small to read
_SHORT_NAME = 8  # letters that have room at the side of a small matrix
_LETTER = 0.14  # inches that a wide one more takes


def draw_pictures(evaluation: ClassificationEvaluation, folder: Path) -> None:
    """Writes confusion.png into a folder; as the task's row says."""
    draw_confusion_matrix(evaluation, folder / "confusion.png")


def draw_confusion_matrix(evaluation: ClassificationEvaluation, path: str | Path) -> None:
    """Draws how many images of each true class (row) were put into which class (column).

    Colours show the part of the row; the numbers are images.

    Args:
        evaluation: of a classifier.
        path: of the PNG to write.

    Raises:
        WriteError: the file cannot be written.
    """
    path, classes = Path(path), len(evaluation.per_class)
    numbered = evaluation.per_class if classes <= _MOST_NUMBERED else ()
    names = [str(entry.class_id) if entry.name is None else plain(entry.name) for entry in numbered]
    room = _LETTER * max(0, max(map(len, names), default=0) - _SHORT_NAME)
    side = min(max(4.0, 0.5 * classes + 2) + room, 20.0)  # inches
    figure = make_figure((side, side), layout="constrained")
    axis = figure.subplots()
    shares = evaluation.confusion / np.maximum(evaluation.confusion.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if numbered:
        axis.set_xticks(range(classes), names, rotation=90)
        axis.set_yticks(range(classes), names)
        _write_numbers(axis, evaluation.confusion, shares)
    axis.set_xlabel("answered")
    axis.set_ylabel("true")
    axis.set_title(f"accuracy {evaluation.accuracy:.4f} on {evaluation.images} images")
    save_figure(figure, path)


def _write_numbers(axis: Axes, confusion: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]) -> None:
    for (row, column), images in np.ndenumerate(confusion):
        if images:
            color = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, str(images), ha="center", va="center", color=color)
