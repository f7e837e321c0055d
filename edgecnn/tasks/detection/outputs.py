"""What a detector gives: its grids and the anchors on them."""

from edgecnn.models.spec import ModelSpec
from edgecnn_runtime.decoders import OutputSpec, YoloDecoder, YoloScale

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
