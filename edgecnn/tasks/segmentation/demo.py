"""The picture of the demonstration: test images with the class that a file gives every pixel."""

from pathlib import Path

from edgecnn.data.samples import Samples
from edgecnn.data.sheets import Cell, masked, write_sheet
from edgecnn.tasks.segmentation.metric import ClassMapIoU
from edgecnn_runtime import Predictor
from edgecnn_runtime.fonts import Typeface
from edgecnn_runtime.images import open_image
from edgecnn_runtime.tasks.segmentation import Segmentation

_SHOWN = 12  # images
_COLUMNS = 4


def show(predictor: Predictor, test: Samples, picture: Path) -> str:
    """Draws test images with what a file answers, and returns how much of it is right; as the plan says.

    Args:
        predictor: of the file.
        test: images that it never saw, with masks.
        picture: where the PNG is written.

    Raises:
        WriteError: it cannot be written.
    """
    typeface, cells, metric = Typeface(), list[Cell](), ClassMapIoU(predictor.manifest)
    for image, truth in test[: min(_SHOWN, len(test))]:
        answer = predictor.predict(image)
        assert isinstance(answer, Segmentation), "the demonstration trains a segmenter"
        metric.update([answer], [truth])
        shown = masked(open_image(image).convert("RGB"), answer.class_map, answer.names(), typeface=typeface)
        cells.append(Cell(shown, f"mean IoU {metric.image_scores()[-1]:.3f}"))
    write_sheet(cells, picture, _COLUMNS, typeface=typeface)
    right = metric.evaluation().pixel_accuracy
    return f"{len(cells)} test images as the int8 file answers them, {right:.1%} of the pixels right"
