"""Selective search: the regions of a picture that a network without proposals of its own looks at.

OpenCV's contrib package holds it, the extra `rcnn`. It joins segments of like colour and texture in several ways, takes
a part of a second a picture, and knows nothing of what is looked for.

Reference:
    Uijlings et al. 2013, "Selective Search for Object Recognition".
"""

from collections import OrderedDict
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.extras import require
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.boxes import non_max_suppression

_ALIKE = 0.8  # the IoU from which two regions are one: of bccd a third goes, and with it .025 of a recall of .80
_MOST_KEPT = 4096  # pictures whose regions are kept; of 300 regions, 20 MB
_kept: "OrderedDict[bytes, npt.NDArray[np.float32]]" = OrderedDict()


def selective_search(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Returns what `search_regions` finds, from memory where these pixels were searched before."""
    key = blake2b(pixels.tobytes() + repr(pixels.shape).encode(), digest_size=16).digest()
    found = _kept.get(key)
    if found is None:
        found = _kept[key] = search_regions(pixels)
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    return found


def check_proposer(manifest: Manifest) -> None:
    """Refuses a model that takes regions where nothing is installed that proposes some.

    Raises:
        MissingDependencyError: OpenCV's contrib package is not; names the extra that brings it.
    """
    if manifest.proposals_input is not None:
        require("cv2")


def with_regions(manifest: Manifest, pixels: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
    """Returns what a network takes of images, with the regions that selective search proposes where it takes such.

    Args:
        manifest: of a model that asks no question.
        pixels: (N, H, W, C) of its input.

    Raises:
        MissingDependencyError: as `search_regions`.
    """
    feeds: dict[str, npt.NDArray[Any]] = {manifest.image_input.name: pixels}
    spec = manifest.proposals_input
    if spec is not None:
        place = Placement((pixels.shape[1], pixels.shape[2]), (1.0, 1.0), (0.0, 0.0))
        feeds[spec.name] = np.concatenate([spec.read(selective_search, one[np.newaxis], place) for one in pixels])
    return feeds


def search_regions(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Returns the regions of a picture by selective search ("fast"), the largest first.

    OpenCV's order is random, which no seed changes; the set is not. Of regions that overlap by an IoU of .8 the largest
    one stays.

    Args:
        pixels: (H, W, C), RGB or gray.

    Returns:
        (P, 4) xyxy in those pixels.

    Raises:
        MissingDependencyError: OpenCV's contrib package is not installed; names the extra that brings it.
    """
    require("cv2")
    import cv2  # large: only where a model needs it

    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    colors = np.repeat(pixels, 3 // pixels.shape[-1], axis=-1)
    search.setBaseImage(np.ascontiguousarray(colors[..., ::-1]))  # BGR
    search.switchToSelectiveSearchFast()
    found = np.asarray(search.process(), np.float32).reshape(-1, 4)  # x, y, width, height
    boxes = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=1)
    areas = found[:, 2] * found[:, 3]
    order = np.lexsort((*boxes.T, -areas))
    boxes, areas = boxes[order], areas[order]
    return boxes[non_max_suppression(boxes, areas, None, iou_threshold=_ALIKE, most=max(1, len(boxes)))]
