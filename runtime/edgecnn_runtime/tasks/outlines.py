"""The outlines of a mask: rings along the edges of its pixels, which filled again give the mask."""

import numpy as np
import numpy.typing as npt

Ring = list[tuple[int, int]]


def outlines(mask: npt.NDArray[np.bool_]) -> list[Ring]:
    """Returns the rings round the parts of a mask and round their holes.

    Outer rings go clockwise as the picture is displayed, holes counter-clockwise: the mask is always on the right. Two
    pixels that touch at a corner alone belong to different parts. Filled by the even-odd rule (or the nonzero one) the
    rings give the mask.

    Args:
        mask: (H, W) bool.

    Returns:
        Rings of (x, y), corners alone; each begins at its uppermost edge, and its first corner is not repeated. Pixel
        (column, row) lies between x = column and column + 1, y = row and row + 1.

    Example:
        >>> outlines(np.array([[False, True, True]]))
        [[(1, 0), (3, 0), (3, 1), (1, 1)]]
    """
    x, y, begins, beside = _corners(mask)
    points, after = list(zip(x.tolist(), y.tolist(), strict=True)), beside.tolist()
    waiting, rings = begins.tolist(), list[Ring]()
    for first in np.flatnonzero(begins).tolist():
        ring, corner = Ring(), first
        while waiting[corner]:
            waiting[corner] = False
            ring += (points[corner], points[corner ^ 1])
            corner = after[corner ^ 1]
        if ring:
            rings.append(ring)
    return rings


def _corners(
    mask: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """Returns the corners of all rings, row by row from left to right.

    One at which two pixels touch stands there twice, once for each: a corner belongs to one level edge and one upright
    one. Level edges are those from an even corner to the next, since each begins and ends once in its row.

    Returns:
        x: (n,)
        y: (n,)
        begins: (n,) whether a level edge begins there, as its ring goes round.
        beside: (n,) the corner at the other end of the upright edge.
    """
    padded = np.pad(mask, 1)
    over, under = (padded[:-1, :-1], padded[:-1, 1:]), (padded[1:, :-1], padded[1:, 1:])  # left and right of a corner
    touching = (over[0] == under[1]) & (over[1] == under[0]) & (over[0] != over[1])
    where = np.flatnonzero(touching | (over[0] ^ over[1] ^ under[0] ^ under[1]))
    where = np.repeat(where, 1 + touching.reshape(-1)[where])
    y, x = np.divmod(where, mask.shape[1] + 1)
    is_below = under[1][y, x]
    begins = np.where(np.arange(len(x)) % 2 == 0, is_below, ~np.roll(is_below, 1))
    # of the two at one place the left pixel's comes first above, and here the upper pixel's
    swapped = touching[y, x] & over[1][y, x]
    order = np.lexsort((np.arange(len(x)) * np.where(swapped, -1, 1), y, x))
    beside = np.empty(len(x), np.intp)
    beside[order[0::2]], beside[order[1::2]] = order[1::2], order[0::2]
    return x, y, begins, beside
