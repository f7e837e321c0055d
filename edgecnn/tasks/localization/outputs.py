"""What a localizer gives, and what it learns of an image: the two ends of the network, by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets import Boxes, Targets
from edgecnn.models.spec import ModelSpec
from edgecnn_runtime.decoders import LocationDecoder, OutputSpec
from edgecnn_runtime.preprocessing import Placement


def location(spec: ModelSpec, num_classes: int) -> tuple[LocationDecoder, tuple[OutputSpec, ...]]:
    """Returns the decoder and the two outputs of a localizer: "logits" and "boxes"."""
    del spec
    decoder = LocationDecoder()
    return decoder, (OutputSpec(decoder.output, (num_classes,)), OutputSpec(decoder.boxes, (4,)))


def arrays(
    targets: Targets, placements: Sequence[Placement], image_size: tuple[int, int] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """Returns the classes and boxes of images that have one object each.

    Args:
        targets: of N images, as `edgecnn.data.narrowing.largest_boxes` leaves them.
        placements: one an image, N of them.
        image_size: of the input; the placements say enough.

    Returns:
        "class_ids", (N,) int64, as the data count them, and "boxes", (N, 4) float32 xyxy in pixels of the network's
        input, beyond it where the input shows a part of the image only.

    Raises:
        TypeError: they are no boxes.
        ValueError: an image has no object or several.
    """
    del image_size
    if not isinstance(targets, Boxes):
        raise TypeError(f"targets: expected boxes, received {type(targets).__name__}")
    counts = {len(image) for image in targets.images}
    if counts - {1}:
        raise ValueError(f"targets: expected one object an image, received images of {sorted(counts)}")
    boxes = [
        place.to_input(image.boxes.reshape(2, 2)).reshape(4)
        for place, image in zip(placements, targets.images, strict=True)
    ]
    return {
        "class_ids": np.array([image.class_ids[0] for image in targets.images], np.int64),
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
    }
