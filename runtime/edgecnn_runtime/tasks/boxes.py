"""Boxes: the two ways to write one, how much two of them overlap, and the way from a network's input to the image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.preprocessing import Placement


def iou(boxes: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Returns the intersection over union of boxes, pair by pair.

    Args:
        boxes: (..., 4) xyxy in any one unit, x1 <= x2 and y1 <= y2.
        others: likewise; the leading axes broadcast, so that boxes[:, None] and others[None] give all pairs.

    Returns:
        (...) 0 to 1; 0 where neither box has an area.

    Example:
        >>> iou(np.array([0, 0, 2, 2]), np.array([[1, 0, 3, 2], [0, 0, 2, 2], [2, 2, 2, 2]])).round(4).tolist()
        [0.3333, 1.0, 0.0]
    """
    boxes, others = np.asarray(boxes, np.float64), np.asarray(others, np.float64)
    sides = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(boxes[..., :2], others[..., :2])
    shared: npt.NDArray[np.float64] = sides.clip(0).prod(axis=-1)  # (...)
    union = area(boxes) + area(others) - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0).clip(0, 1)  # rounding may pass 1


def area(boxes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Returns the area of each box.

    Args:
        boxes: (..., 4) xyxy, x1 <= x2 and y1 <= y2.

    Returns:
        (...) in the square of the boxes' unit.
    """
    found: npt.NDArray[np.float64] = (np.asarray(boxes, np.float64)[..., 2:] - boxes[..., :2]).prod(axis=-1)
    return found


def to_xyxy(boxes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns boxes by their corners.

    Args:
        boxes: (..., 4) centre x, centre y, width, height.

    Returns:
        (..., 4) x1, y1, x2, y2 in the same unit.

    Example:
        >>> to_xyxy(np.array([3.0, 2.0, 4.0, 2.0])).tolist()
        [1.0, 1.0, 5.0, 3.0]
    """
    centres, halves = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([centres - halves, centres + halves], axis=-1)


def to_cxcywh(boxes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns boxes by their centres and sizes; undoes `to_xyxy`.

    Args:
        boxes: (..., 4) x1, y1, x2, y2.

    Returns:
        (..., 4) centre x, centre y, width, height in the same unit.
    """
    first, last = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([(first + last) / 2, last - first], axis=-1)


def in_images(boxes: npt.NDArray[Any], placements: Sequence[Placement]) -> npt.NDArray[np.float32]:
    """Returns boxes of networks' inputs in pixels of the displayed images, clipped to them.

    None of them is empty: what is narrower than a pixel, or lies outside (in the padding of a letterbox, say), becomes
    the nearest pixel's width of the image. So 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height always.

    Args:
        boxes: (N, 4) xyxy in pixels of the input, finite, x1 <= x2 and y1 <= y2.
        placements: one a box, N of them.

    Returns:
        (N, 4) float32 xyxy.

    Example:
        >>> placement = Placement(image_size=(10, 20), scale=(0.5, 0.5), offset=(0.0, 0.0))
        >>> in_images(np.array([[1.0, -1.0, 4.0, 3.0], [11.0, 2.0, 12.0, 2.0]]), [placement] * 2).tolist()
        [[2.0, 0.0, 8.0, 6.0], [19.0, 3.5, 20.0, 4.5]]
    """
    corners = np.reshape(boxes, (-1, 2, 2))  # (N, corner, x before y)
    shown = np.reshape([place.to_image(pair) for place, pair in zip(placements, corners, strict=True)], corners.shape)
    sides = np.array([place.image_size[::-1] for place in placements], np.float64).reshape(
        -1, 2
    )  # (N, width and height)
    first, last = np.clip(shown, 0, sides[:, np.newaxis]).transpose(1, 0, 2)  # (N, 2) each
    least = np.minimum((first + last) / 2 - 0.5, sides - 1).clip(0)
    narrow = last - first < 1
    kept = np.where(narrow, least, first), np.where(narrow, least + 1, last)
    return np.concatenate(kept, axis=-1).astype(np.float32)
