"""The picture of the demonstration: test images with the boxes that a file finds in them."""

from pathlib import Path

import numpy as np

from edgecnn.data.samples import Samples
from edgecnn.data.sheets import Cell, boxed, write_sheet
from edgecnn.tasks.detection.matching import FALSE, find_faults
from edgecnn_runtime import Predictor
from edgecnn_runtime.drawing import class_color
from edgecnn_runtime.fonts import Typeface
from edgecnn_runtime.images import open_image
from edgecnn_runtime.tasks.detection import Detections

_SHOWN = 12  # images
_COLUMNS = 4


def show(predictor: Predictor, test: Samples, picture: Path) -> str:
    """Draws test images with what a file finds there, and returns how much of it is right; as the plan says.

    Args:
        predictor: of the file.
        test: images that it never saw, with boxes.
        picture: where the PNG is written.

    Raises:
        WriteError: it cannot be written.
    """
    typeface, cells, found, false, marked = Typeface(), list[Cell](), 0, 0, 0
    for image, truth in test[: min(_SHOWN, len(test))]:
        answer = predictor.predict(image)
        assert isinstance(answer, Detections), "the demonstration trains a detector"
        verdicts, missed = find_faults(answer, truth)
        wrong, there = int(np.count_nonzero(verdicts == FALSE)), len(truth) - int(missed.sum())
        names = [
            f"{answer.name_of(class_id)} {score:.0%}"
            for class_id, score in zip(answer.class_ids.tolist(), answer.scores.tolist(), strict=True)
        ]
        colors = [class_color(class_id) for class_id in answer.class_ids.tolist()]
        drawn = boxed(open_image(image).convert("RGB"), answer.boxes, colors, names, typeface=typeface)
        cells.append(Cell(drawn, f"{there} of {len(truth)} found, {wrong} false"))
        found, false, marked = found + there, false + wrong, marked + len(truth)
    write_sheet(cells, picture, _COLUMNS, typeface=typeface)
    return f"{len(cells)} test images as the int8 file answers them, {found} of {marked} objects found, {false} false"
