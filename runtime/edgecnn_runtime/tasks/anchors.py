"""Grids of cells and anchors: where a number stands in them, and what raw numbers mean there."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.decoders import YoloScale
from edgecnn_runtime.tasks.scores import sigmoid

# exp of more is taken as exp of this: 22,026 anchors wide, far beyond any picture, and nothing overflows
LARGEST_LOG_SIZE = 10.0


class Cells(NamedTuple):
    """Places in grids, each with one of its grid's anchors.

    Attributes:
        corners: (K, 2) float32, column and row.
        anchors: (K, 2) float32, width and height, in pixels of the network's input.
        strides: (K, 1) float32, pixels that a cell is wide and high.
    """

    corners: npt.NDArray[np.float32]
    anchors: npt.NDArray[np.float32]
    strides: npt.NDArray[np.float32]


def cells_at(indices: npt.NDArray[Any], shape: tuple[int, ...], scale: YoloScale) -> Cells:
    """Returns the places of indices into a grid that is laid out row by row, column by column, anchor by anchor.

    Args:
        indices: (K,) from 0.
        shape: (rows, columns, anchors, ...) of the grid.
        scale: of the grid.

    Example:
        >>> scale = YoloScale("scale_8", 8, ((10.0, 13.0), (16.0, 30.0)))
        >>> places = cells_at(np.array([0, 7]), (2, 2, 2), scale)
        >>> places.corners.tolist(), places.anchors.tolist()
        ([[0.0, 0.0], [1.0, 1.0]], [[10.0, 13.0], [16.0, 30.0]])
    """
    cells, numbers = np.divmod(indices, shape[2])
    corners = np.empty((len(indices), 2), np.float32)
    corners[:, 1], corners[:, 0] = np.divmod(cells, shape[1])
    return Cells(corners, np.array(scale.anchors, np.float32)[numbers], np.full((len(indices), 1), scale.stride, "f4"))


def size_iou(sizes: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Returns the intersection over union of boxes that are laid on one centre, pair by pair.

    Args:
        sizes: (..., 2) width and height, above 0, in any one unit.
        others: likewise; the leading axes broadcast, so that sizes[:, None] and others[None] give all pairs.

    Example:
        >>> size_iou(np.array([2, 2]), np.array([[2, 2], [4, 1], [2, 1]])).round(4).tolist()
        [1.0, 0.3333, 0.5]
    """
    sizes, others = np.asarray(sizes, np.float64), np.asarray(others, np.float64)
    shared = np.minimum(sizes, others).prod(axis=-1)
    found: npt.NDArray[np.float64] = shared / (sizes.prod(axis=-1) + others.prod(axis=-1) - shared)
    return found


def boxes_of(raw: npt.NDArray[Any], cells: Cells) -> npt.NDArray[np.float32]:
    """Returns the boxes that raw numbers mean.

    Args:
        raw: (K, 4) tx, ty, tw, th, finite.
        cells: K of them, where the numbers stand.

    Returns:
        (K, 4) centre x, centre y, width, height in pixels of the network's input.

    Reference: Redmon and Farhadi 2018, YOLOv3: An Incremental Improvement, section 2.1.
    """
    centres = (cells.corners + sigmoid(raw[:, :2])) * cells.strides
    sizes = cells.anchors * np.exp(np.minimum(raw[:, 2:], np.float32(LARGEST_LOG_SIZE)))
    return np.concatenate([centres, sizes], axis=1)
