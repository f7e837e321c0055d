"""The picture of the demonstration: test images with a question about each, as a file answers it."""

from pathlib import Path

from edgecnn.data.samples import Samples
from edgecnn.data.sheets import Cell, write_sheet
from edgecnn_runtime import Predictor
from edgecnn_runtime.fonts import Typeface

_SHOWN, _COLUMNS = 12, 4  # images


def show(predictor: Predictor, test: Samples, picture: Path) -> str:
    """Draws test images with a question and its answer, and returns how many are right; as the plan says.

    Of each image another of its questions is asked, so that all kinds come up.

    Args:
        predictor: of the file.
        test: images that it never saw, with questions.
        picture: where the PNG is written.

    Raises:
        WriteError: it cannot be written.
    """
    typeface, cells, right = Typeface(), list[Cell](), 0
    for number, (image, about) in enumerate(test[: min(_SHOWN, len(test))]):
        asked = about[number % len(about)]
        answer = predictor.predict(image, asked.text)
        truth = test.labels[asked.class_id]
        is_right = answer.predictions(1)[0]["name"] == truth
        right += is_right
        cells.append(Cell(answer.draw(image, font=typeface), "right" if is_right else f"wrong: it is {truth}"))
    write_sheet(cells, picture, _COLUMNS, typeface=typeface)
    return f"{len(cells)} questions as the int8 file answers them, {right} right"
