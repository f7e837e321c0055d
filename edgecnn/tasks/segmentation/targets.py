"""What a segmenter is trained on: each image's mask in the pixels of the network's input."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets import IGNORE, Masks, Targets
from edgecnn_runtime.preprocessing import Placement

_OUTSIDE = -1


def arrays(
    targets: Targets, placements: Sequence[Placement], image_size: tuple[int, int]
) -> dict[str, npt.NDArray[np.uint8]]:
    """Returns the masks of images as their pixels lie in the input.

    Each pixel of the input takes the class that the image has at its middle, and `IGNORE` where that is no part of the
    image: padding teaches nothing. One mask is open at a time.

    Args:
        targets: of N images.
        placements: one an image, N of them; those of pictures that could not be decoded have no size, and are ignored
            throughout.
        image_size: (height, width) of the input, in pixels.

    Returns:
        "masks", (N, height, width) uint8, class ids as the data count them, and `IGNORE`.

    Raises:
        TypeError: they are no masks.
        DatasetError: a mask cannot be read any more.
        ValueError: a mask has another size than its image.
    """
    if not isinstance(targets, Masks):
        raise TypeError(f"targets: expected masks, received {type(targets).__name__}")
    masks = np.full((len(targets), *image_size), IGNORE, np.uint8)
    for index, (mask, place) in enumerate(zip(masks, placements, strict=True)):
        if 0 in place.image_size:
            continue
        truth = targets.truth(index)
        if truth.shape != place.image_size:
            raise ValueError(
                f"mask {index}: expected the size of its image, {place.image_size}, received {truth.shape}"
            )
        rows, columns = (
            _shown(side, place.scale[axis], place.offset[axis], place.image_size[axis])
            for axis, side in enumerate(image_size)
        )
        inside = np.ix_(rows != _OUTSIDE, columns != _OUTSIDE)
        mask[inside] = truth[np.ix_(rows[rows != _OUTSIDE], columns[columns != _OUTSIDE])]
    return {"masks": masks}


def _shown(side: int, scale: float, offset: float, image_side: int) -> npt.NDArray[np.int64]:
    """Returns which of the image's rows (or columns) lies in the middle of each of the input's, or `_OUTSIDE`."""
    found = np.floor((np.arange(side) + 0.5 - offset) / scale).astype(np.int64)
    return np.where((found >= 0) & (found < image_side), found, _OUTSIDE)
