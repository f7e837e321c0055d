"""Pictures of segmentation: which class is taken for which, and an image beside its masks."""

from pathlib import Path

import numpy as np
from PIL import Image

from edgecnn.data.samples import Samples
from edgecnn.data.sheets import Cell, masked
from edgecnn.data.targets import IGNORE
from edgecnn.evaluation.confusion import draw_confusion
from edgecnn.evaluation.evaluate import class_map
from edgecnn.evaluation.pictures import Answered
from edgecnn.tasks.segmentation.metric import SegmentationEvaluation
from edgecnn_runtime.fonts import Typeface
from edgecnn_runtime.images import open_image
from edgecnn_runtime.manifest import Manifest

_WRONG, _UNSAID, _DIMMED = (220, 30, 40), (90, 120, 220), 0.45


def draw_pictures(evaluation: SegmentationEvaluation, folder: Path) -> None:
    """Writes confusion.png into a folder: the part of each true class's pixels by the class answered.

    Raises:
        WriteError: it cannot be written.
    """
    draw_confusion(
        evaluation.confusion,
        evaluation.per_class,
        folder / "confusion.png",
        title=f"mean IoU {evaluation.mean_iou:.4f} on {evaluation.images} images",
        told=lambda _, part: f"{part:.0%}",
    )


def compared_cells(
    manifest: Manifest, samples: Samples, answered: Answered, *, typeface: Typeface
) -> tuple[Cell, Cell, Cell, Cell]:
    """Returns an image, its true classes, those that were answered, and where they differ (red); as the row says.

    What the data say nothing of is blue in the last one.

    Args:
        manifest: of the model.
        samples: the part that was evaluated, with masks.
        answered: one of its images.
        typeface: draws the letters.
    """
    (truth,) = samples.targets.subset(np.array([answered.position])).truths(class_map(manifest, samples))
    source = samples.sources[answered.position]
    image = open_image(source).convert("RGB")
    name, names = source.name if isinstance(source, Path) else str(answered.position), answered.result.names()
    said = truth != IGNORE
    wrong = said & (truth != answered.result.class_map)
    pixels = np.asarray(image.convert("L"), np.float32)[..., np.newaxis].repeat(3, axis=2) * _DIMMED
    pixels[wrong], pixels[~said] = _WRONG, _UNSAID
    part = wrong.sum() / max(int(said.sum()), 1)
    return (
        Cell(image, name),
        Cell(masked(image, truth, names, typeface=typeface), "true"),
        Cell(
            masked(image, answered.result.class_map, names, typeface=typeface),
            f"answered, mean IoU {answered.score:.4f}",
        ),
        Cell(Image.fromarray(pixels.astype(np.uint8)), f"{part:.1%} of the pixels differ"),
    )
