"""The confusion matrix as a picture."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgecnn.evaluation.metrics import ClassShare
from edgecnn.figures import make_figure, plain, save_figure

_MOST_NUMBERED = 30  # classes; above, numbers in the cells are too small to read
_SHORT_NAME = 8  # letters that have room at the side of a small matrix
_LETTER = 0.14  # inches that a wide one more takes


def draw_confusion(
    confusion: npt.NDArray[np.int64],
    classes: Sequence[ClassShare],
    path: str | Path,
    *,
    title: str,
    told: Callable[[int, float], str],
) -> None:
    """Draws how much of each true class (row) was put into which class (column); colours show the part of the row.

    Args:
        confusion: (classes, classes) counts.
        classes: one a row, in that order.
        path: of the PNG to write.
        title: of the picture.
        told: of a count above 0 and its part of the row, what stands in the cell.

    Raises:
        WriteError: the file cannot be written.
    """
    numbered = classes if len(classes) <= _MOST_NUMBERED else ()
    names = [str(entry.class_id) if entry.name is None else plain(entry.name) for entry in numbered]
    room = _LETTER * max(0, max(map(len, names), default=0) - _SHORT_NAME)
    side = min(max(4.0, 0.5 * len(classes) + 2) + room, 20.0)  # inches
    figure = make_figure((side, side), layout="constrained")
    axis = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if numbered:
        axis.set_xticks(range(len(classes)), names, rotation=90)
        axis.set_yticks(range(len(classes)), names)
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                text = told(int(count), float(shares[row, column]))
                axis.text(column, row, text, ha="center", va="center", color=color)
    axis.set_xlabel("answered")
    axis.set_ylabel("true")
    axis.set_title(title)
    save_figure(figure, Path(path))
