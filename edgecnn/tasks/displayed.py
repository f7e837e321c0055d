"""Where a box lies in the displayed image: the sources' own arithmetic, none of which is the runtime's."""

from collections.abc import Sequence

from edgecnn_runtime.preprocessing import Placement


def displayed_box(box: Sequence[float], placement: Placement) -> tuple[float, float, float, float]:
    """Returns a box in pixels of the displayed image: within it, and a pixel wide and high at least.

    Args:
        box: xyxy in pixels of the network's input.
        placement: of the image in the input.
    """
    x1, x2 = _span(box[0], box[2], placement, axis=1)
    y1, y2 = _span(box[1], box[3], placement, axis=0)
    return x1, y1, x2, y2


def _span(begin: float, end: float, placement: Placement, *, axis: int) -> tuple[float, float]:
    limit, scale, offset = float(placement.image_size[axis]), placement.scale[axis], placement.offset[axis]
    begin, end = (max(0.0, min(limit, (edge - offset) / scale)) for edge in (begin, end))
    if end - begin >= 1:
        return begin, end
    begin = min(max((begin + end - 1) / 2, 0.0), limit - 1)
    return begin, begin + 1
