"""What a detector learns of an image: boxes and their classes, as arrays that a batch can hold."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets import Boxes, Targets
from edgecnn_runtime.preprocessing import Placement

NOT_LEARNED = -1  # the class of a box in which an answer is neither right nor wrong


def arrays(targets: Targets, placements: Sequence[Placement]) -> dict[str, npt.NDArray[Any]]:
    """Returns the boxes and classes of images, in as many places an image as the fullest of them needs.

    Groups (`crowd`) and difficult objects have the class `NOT_LEARNED`: nobody is taught to find them, and nobody to
    see nothing there, as an evaluation neither counts nor blames an answer there. They stay boxes, so that they move
    with the pixels.

    Args:
        targets: of N images.
        placements: one an image, N of them.

    Returns:
        "boxes", (N, K, 4) float32 xyxy in pixels of the network's input, zeros in the places that an image leaves
        empty, and "class_ids", (N, K) int64, as the data count them. K is at least 1.

    Raises:
        TypeError: they are no boxes.
    """
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
