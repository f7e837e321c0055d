"""What a detector gives, its grids and the anchors on them, and what it learns of an image: boxes and their classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets import Boxes, Targets
from edgecnn.errors import UsageError
from edgecnn.models.spec import ModelSpec
from edgecnn.proposing import check_proposer
from edgecnn_runtime.decoders import OutputSpec, RegionsDecoder, YoloDecoder, YoloScale
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.proposals import ProposalsInput

if TYPE_CHECKING:
    from edgecnn.training.config import TrainConfig

NOT_LEARNED = -1  # the class of a box in which an answer is neither right nor wrong

Anchors = tuple[tuple[float, float], ...]

# (width, height) in pixels of COCO's boxes at 416 x 416: Redmon and Farhadi 2018, section 2.3; yolov3-tiny.cfg. The
# tiny network's finer grid has the anchors 1, 2 and 3 of six, as its published weights were trained.
_ANCHORS: dict[str, dict[int, Anchors]] = {
    "yolov3": {
        8: ((10.0, 13.0), (16.0, 30.0), (33.0, 23.0)),
        16: ((30.0, 61.0), (62.0, 45.0), (59.0, 119.0)),
        32: ((116.0, 90.0), (156.0, 198.0), (373.0, 326.0)),
    },
    "yolov3_tiny": {
        16: ((23.0, 27.0), (37.0, 58.0), (81.0, 82.0)),
        32: ((81.0, 82.0), (135.0, 169.0), (344.0, 319.0)),
    },
}

REGION_STRIDE = 16  # pixels of a cell on which regions are proposed
MOST_REGIONS = 300  # that are looked at in an image; Ren et al. 2015, section 4.1
# (width, height): 128, 256 and 512 pixels square and twice as high or wide, of the paper's images of up to 1000 pixels,
# brought to 416. Ren et al. 2015, "Faster R-CNN", sections 3.1.1 and 3.3
REGION_ANCHORS: Anchors = tuple(
    (round(side * 0.416 / ratio**0.5, 1), round(side * 0.416 * ratio**0.5, 1))
    for side in (128, 256, 512)
    for ratio in (0.5, 1.0, 2.0)
)
_REGION_IOU = 0.5  # boxes of one object's regions lie closer than those of cells; torchvision, faster_rcnn.py


def count_regions(image_size: tuple[int, int], anchors: int) -> int:
    """Returns how many regions are looked at in an image of that (height, width) in pixels, by so many anchors."""
    height, width = image_size
    return min(MOST_REGIONS, (height // REGION_STRIDE) * (width // REGION_STRIDE) * anchors)


def regions(spec: ModelSpec, num_classes: int) -> tuple[RegionsDecoder, tuple[OutputSpec, ...]]:
    """Returns the decoder and the outputs of a detector that looks at the regions it proposes; as `yolo` otherwise.

    Args:
        spec: the catalogue row, at the image size that is asked for.
        num_classes: number of classes.
    """
    decoder = RegionsDecoder(REGION_ANCHORS, iou_threshold=_REGION_IOU)
    rows = count_regions(spec.image_size, len(decoder.anchors))
    return decoder, _of_regions(decoder, rows, num_classes)


def given_regions(spec: ModelSpec, num_classes: int) -> tuple[RegionsDecoder, tuple[OutputSpec, ...]]:
    """Returns the decoder and the outputs of a detector that looks at regions which others propose.

    Args:
        spec: the catalogue row.
        num_classes: number of classes.
    """
    del spec
    decoder = RegionsDecoder((), iou_threshold=_REGION_IOU)
    return decoder, _of_regions(decoder, MOST_REGIONS, num_classes)


def region_inputs() -> tuple[ProposalsInput, ...]:
    """Returns what a detector takes beside the image that looks at regions which others propose."""
    return (ProposalsInput("proposals", MOST_REGIONS),)


def _of_regions(decoder: RegionsDecoder, rows: int, num_classes: int) -> tuple[OutputSpec, ...]:
    return (
        OutputSpec(decoder.regions, (rows, 4)),
        OutputSpec(decoder.valid, ()),
        OutputSpec(decoder.output, (rows, num_classes + 1)),
        OutputSpec(decoder.shifts, (rows, num_classes, 4)),
    )


def yolo(spec: ModelSpec, num_classes: int) -> tuple[YoloDecoder, tuple[OutputSpec, ...]]:
    """Returns the decoder and the outputs of a detector, one a grid, with anchors for COCO's boxes.

    The anchors are the published ones at every image size, as Darknet has them: training on other data fits its own.

    Args:
        spec: the catalogue row, at the image size that is asked for.
        num_classes: number of class logits of a cell and anchor.
    """
    scales = tuple(YoloScale(f"scale_{stride}", stride, anchors) for stride, anchors in _ANCHORS[spec.name].items())
    height, width = spec.image_size
    return YoloDecoder(scales), tuple(
        OutputSpec(scale.output, (height // scale.stride, width // scale.stride, len(scale.anchors), 5 + num_classes))
        for scale in scales
    )


def check_options(manifest: Manifest, config: "TrainConfig") -> None:
    """Refuses options of a training that cannot take effect on this detector.

    Raises:
        UsageError: no size lies between the sides of `multi_scale`, or the model has one size.
    """
    check_proposer(manifest)  # of what is held out
    if config.multi_scale is not None:
        if manifest.decoder.kind == "regions":
            raise UsageError(f"multi_scale: {manifest.model.name} looks at regions of one image size. Leave it out")
        input_sizes(manifest, config.multi_scale)


def input_sizes(manifest: Manifest, sides: tuple[int, int]) -> list[tuple[int, int]]:
    """Returns the sizes that an input has in turn while it learns, (height, width), which all grids divide.

    Args:
        manifest: of the model, which says how height and width are to each other.
        sides: the least and the largest of the longer one, in pixels.

    Raises:
        UsageError: the coarsest grid's cells divide no such side.
    """
    stride = cast(YoloDecoder, manifest.decoder).scales[-1].stride
    height, width = int(manifest.image_input.height or 0), int(manifest.image_input.width or 0)
    longer = [side for side in range(stride, sides[1] + 1, stride) if side >= sides[0]]
    if not longer:
        raise UsageError(
            f"multi_scale: expected sides with a multiple of {stride} between them, the pixels of the coarsest cell, "
            f"received {sides[0]},{sides[1]}"
        )
    factors = [side / max(height, width) / stride for side in longer]
    return [(max(1, round(height * one)) * stride, max(1, round(width * one)) * stride) for one in factors]


def arrays(
    targets: Targets, placements: Sequence[Placement], image_size: tuple[int, int] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """Returns the boxes and classes of images, in as many places an image as the fullest of them needs.

    Groups (`crowd`) and difficult objects have the class `NOT_LEARNED`: nobody is taught to find them, and nobody to
    see nothing there, as an evaluation neither counts nor blames an answer there. They stay boxes, so that they move
    with the pixels.

    Args:
        targets: of N images.
        placements: one an image, N of them.
        image_size: of the input; the placements say enough.

    Returns:
        "boxes", (N, K, 4) float32 xyxy in pixels of the network's input, zeros in the places that an image leaves
        empty, and "class_ids", (N, K) int64, as the data count them. K is at least 1.

    Raises:
        TypeError: they are no boxes.
    """
    del image_size
    if not isinstance(targets, Boxes):
        raise TypeError(f"targets: expected boxes, received {type(targets).__name__}")
    places = max([1, *map(len, targets.images)])
    boxes = np.zeros((len(targets), places, 4), np.float32)
    class_ids = np.zeros((len(targets), places), np.int64)
    for index, (place, image) in enumerate(zip(placements, targets.images, strict=True)):
        count = len(image)
        boxes[index, :count] = place.to_input(image.boxes.reshape(-1, 2)).reshape(-1, 4)
        class_ids[index, :count] = np.where(image.crowd | image.difficult, NOT_LEARNED, image.class_ids)
    return {"boxes": boxes, "class_ids": class_ids}
