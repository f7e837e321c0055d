"""Boxes: the two ways to write one, how much two overlap and which one is dropped then, and the way to the image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.preprocessing import Placement

EDGES = ("x1", "y1", "x2", "y2")  # what the four numbers of a box are called in JSON and CSV
_BLOCK = 256  # boxes that non-max suppression compares with each other at a time


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
    shared = _product(np.maximum(sides, 0))  # (...)
    union = area(boxes) + area(others) - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0).clip(0, 1)  # rounding may pass 1


def area(boxes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Returns the area of each box.

    Args:
        boxes: (..., 4) xyxy, x1 <= x2 and y1 <= y2.

    Returns:
        (...) in the square of the boxes' unit.
    """
    return _product(np.asarray(boxes, np.float64)[..., 2:] - boxes[..., :2])


def _product(sides: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns width times height; a reduction over an axis of two takes ten times as long."""
    found: npt.NDArray[np.float64] = sides[..., 0] * sides[..., 1]
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


def told_box(box: npt.NDArray[np.float32]) -> str:
    """Returns the edges of a box, (4,), for people."""
    return f"({', '.join(f'{edge:.1f}' for edge in box.tolist())})"


def in_images(boxes: npt.NDArray[Any], placements: Sequence[Placement]) -> npt.NDArray[np.float32]:
    """Returns one box of each of several inputs in pixels of its displayed image; as `in_image`.

    Args:
        boxes: (N, 4) xyxy in pixels of the input, finite, x1 <= x2 and y1 <= y2.
        placements: one a box, N of them.

    Returns:
        (N, 4) float32 xyxy.
    """
    placed = [in_image(box[np.newaxis], place) for box, place in zip(boxes, placements, strict=True)]
    return np.concatenate([np.empty((0, 4), np.float32), *placed])


def in_image(boxes: npt.NDArray[Any], placement: Placement) -> npt.NDArray[np.float32]:
    """Returns boxes of a network's input in pixels of the displayed image, clipped to it.

    None of them is empty: what is narrower than a pixel, or lies outside (in the padding of a letterbox, say), becomes
    the nearest pixel's width of the image. So 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height always.

    Args:
        boxes: (K, 4) xyxy in pixels of the input, finite, x1 <= x2 and y1 <= y2.
        placement: of the image in the input.

    Returns:
        (K, 4) float32 xyxy.

    Example:
        >>> placement = Placement(image_size=(10, 20), scale=(0.5, 0.5), offset=(0.0, 0.0))
        >>> in_image(np.array([[1.0, -1.0, 4.0, 3.0], [11.0, 2.0, 12.0, 2.0]]), placement).tolist()
        [[2.0, 0.0, 8.0, 6.0], [19.0, 3.5, 20.0, 4.5]]
    """
    sides = np.array(placement.image_size[::-1], np.float64)  # width and height
    corners = placement.to_image(np.reshape(boxes, (-1, 2, 2))).clip(0, sides)  # (K, corner, x before y)
    first, last = corners[:, 0], corners[:, 1]
    least = np.minimum((first + last) / 2 - 0.5, sides - 1).clip(0)
    narrow = last - first < 1
    kept = np.where(narrow, least, first), np.where(narrow, least + 1, last)
    return np.concatenate(kept, axis=-1).astype(np.float32)


def non_max_suppression(
    boxes: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    class_ids: npt.NDArray[Any] | None,
    *,
    iou_threshold: float,
    most: int,
) -> npt.NDArray[np.intp]:
    """Returns which boxes are left where the best one drops those that overlap it, and so on.

    Boxes are taken in blocks, best first, and no more of them than it takes to fill `most`; all at once where no more
    pairs of one class are among them than in a block of a single class. A block is compared with those that stayed
    before it, as many at a time: each pair once, and many boxes take no more memory than few.

    Args:
        boxes: (K, 4) xyxy in any one unit, x1 <= x2 and y1 <= y2.
        scores: (K,) of equal ones the lower index comes first.
        class_ids: (K,) integers of 0 or more; boxes of different classes leave each other. None for no classes.
        iou_threshold: a box goes where its intersection over union with a better one that stays is this or more.
        most: how many stay at most, 1 or more.

    Returns:
        Indices, best first.

    Example:
        >>> boxes, scores = np.array([[0, 0, 4, 4], [0, 0, 4, 3], [0, 0, 4, 4]]), np.array([0.8, 0.9, 0.7])
        >>> non_max_suppression(boxes, scores, np.array([0, 0, 1]), iou_threshold=0.6, most=9).tolist()
        [1, 2]
    """
    order = np.argsort(-scores, kind="stable")
    boxes, classes = boxes[order], np.zeros(len(order), np.intp) if class_ids is None else class_ids[order]
    few = int(np.square(np.bincount(classes)).sum()) <= _BLOCK**2  # pairs
    block = len(order) if few else _BLOCK
    kept = np.empty(0, np.intp)  # ranks
    for first in range(0, len(order), block or 1):
        new = np.arange(first, min(first + block, len(order)))
        last = len(kept) // _BLOCK * _BLOCK
        for known in (kept[start : start + _BLOCK] for start in range(0, last, _BLOCK)):
            better, worse = _across(classes[known], classes[new])
            new = np.delete(new, worse[iou(boxes[known[better]], boxes[new[worse]]) >= iou_threshold])
        ranks = np.concatenate([kept[last:], new])  # together, because most pictures have no more than these
        better, worse = _within(classes[ranks])
        overlapping = iou(boxes[ranks[better]], boxes[ranks[worse]]) >= iou_threshold
        stays = [True] * len(ranks)
        for winner, loser in zip(better[overlapping].tolist(), worse[overlapping].tolist(), strict=True):
            if stays[winner]:
                stays[loser] = False
        kept = np.concatenate([kept[:last], ranks[stays]])
        if len(kept) >= most:
            break
    return order[kept[:most]]


def _within(classes: npt.NDArray[Any]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Returns all pairs of places of one class, the earlier place first; in each class the earliest come first."""
    order = np.argsort(classes, kind="stable")
    by_class, places = classes[order], np.arange(len(order))
    last = np.searchsorted(by_class, by_class, side="right")
    first, second = _runs(places + 1, last)
    return order[first], order[second]


def _across(classes: npt.NDArray[Any], others: npt.NDArray[Any]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Returns all pairs of places of one class, one in the first and one in the other list."""
    order = np.argsort(others, kind="stable")
    by_class = others[order]
    start, last = np.searchsorted(by_class, classes), np.searchsorted(by_class, classes, side="right")
    first, second = _runs(start, last)
    return first, order[second]


def _runs(start: npt.NDArray[np.intp], last: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Returns, of each run, its number and each of its places, from the first one to before the last."""
    lengths = last - start
    numbers = np.repeat(np.arange(len(lengths)), lengths)
    return numbers, start[numbers] + np.arange(len(numbers)) - np.repeat(lengths.cumsum() - lengths, lengths)
