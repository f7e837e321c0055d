"""From logits in pixels of the network's input to the class of every pixel of the displayed image.

The logits are cut to where the image lies, and brought to its size as Pillow resizes pictures (bilinear, with antialias
where there are fewer pixels then), in bands of rows, so that nothing is held but the class map and one band.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgecnn_runtime.preprocessing import Placement

_BAND = 1 << 20  # numbers of a band
_PLANES = 3  # of a band's pixels that are held at a time: one class's logits, the largest so far, which is larger
_DIGITS = 6  # behind the point of a pixel; what is off by less is off by rounding


def class_map(logits: npt.NDArray[Any], placement: Placement) -> npt.NDArray[np.uint8]:
    """Returns the class of every pixel of a displayed image: the largest logit's; of equal ones the lower.

    A pixel that the network did not see whole, as resize "center_crop" leaves some, is of the class of the nearest one
    that it did.

    Args:
        logits: (height, width, classes) floating point, in pixels of the network's input; at most 255 classes.
        placement: of the image.

    Returns:
        (H, W) uint8.

    Example:
        >>> class_map(np.array([[[0.0, 1.0], [2.0, 1.0]]]), Placement((1, 2), (1.0, 1.0), (0.0, 0.0))).tolist()
        [[1, 0]]
    """
    rows, columns = (
        _Axis.of(*numbers)
        for numbers in zip(placement.image_size, logits.shape[:2], placement.scale, placement.offset, strict=True)
    )
    seen = logits[rows.first : rows.stop, columns.first : columns.stop]
    classes = np.empty(placement.image_size, np.uint8)
    shown = classes[rows.begin : rows.end, columns.begin : columns.end]
    as_they_are = rows.is_kept and columns.is_kept
    wide = max(_PLANES * shown.shape[1], math.ceil(seen.shape[1] * rows.zoom) * seen.shape[2])
    height = max(1, _BAND // wide)
    for first in range(0, len(shown), height):
        band = shown[first : first + height]
        if as_they_are:
            band[:] = seen[first : first + height].argmax(axis=2)
        else:
            _fill(band, seen, rows.between(first, first + len(band)), columns.box)
    _spread(classes, rows, columns)
    return classes


class _Axis(NamedTuple):
    """Where an image lies in one axis of the logits.

    Attributes:
        first: of the logits, the first that is of the image.
        stop: the one after the last.
        begin: of the image's pixels, the first that the network saw whole.
        end: the one after the last.
        box: where those pixels begin and end, in pixels of the logits from `first` on.
    """

    first: int
    stop: int
    begin: int
    end: int
    box: tuple[float, float]

    @classmethod
    def of(cls, side: int, size: int, scale: float, offset: float) -> "_Axis":
        """Returns it for an image of so many pixels and so many logits; scale and offset as of its `Placement`."""
        first = min(max(0, round(offset)), size - 1)
        stop = max(first + 1, min(size, round(side * scale + offset)))
        begin = max(0, math.ceil(round((first - offset) / scale, _DIGITS)))
        end = min(side, math.floor(round((stop - offset) / scale, _DIGITS)))
        if end <= begin:  # not even one pixel was seen whole
            begin = min(max(0, math.floor(((first + stop) / 2 - offset) / scale)), side - 1)
            end = begin + 1
        low, high = (min(max(0.0, edge * scale + offset - first), float(stop - first)) for edge in (begin, end))
        return cls(first, stop, begin, end, (low, high))

    @property
    def zoom(self) -> float:
        """Logits for one pixel of the image."""
        return (self.box[1] - self.box[0]) / (self.end - self.begin)

    @property
    def is_kept(self) -> bool:
        """Whether each logit is that of a pixel."""
        return self.box == (0, self.end - self.begin) and self.stop - self.first == self.end - self.begin

    def between(self, begin: int, end: int) -> tuple[int, int, tuple[float, float]]:
        """Returns the logits that some of the seen pixels are made of, and where these begin and end among them."""
        low, high = (self.box[0] + pixel * self.zoom for pixel in (begin, end))
        reach = max(1.0, self.zoom)
        first = max(0, math.floor(low - reach))
        stop = min(self.stop - self.first, math.ceil(high + reach))
        return first, stop, (low - first, min(high, float(stop)) - first)


def _fill(
    band: npt.NDArray[np.uint8],
    seen: npt.NDArray[Any],
    rows: tuple[int, int, tuple[float, float]],
    columns: tuple[float, float],
) -> None:
    """Writes the classes of a band of pixels."""
    (first, stop, (top, bottom)), (left, right) = rows, columns
    planes = np.ascontiguousarray(seen[first:stop].transpose(2, 0, 1), np.float32)  # (classes, rows, columns)
    box = (left, top, right, bottom)
    band[:], best = 0, _resized(planes[0], band.shape, box)
    for class_id, plane in enumerate(planes[1:], start=1):
        values = _resized(plane, band.shape, box)
        np.copyto(band, np.uint8(class_id), where=values > best)
        np.maximum(best, values, out=best)


def _resized(
    plane: npt.NDArray[np.float32], size: tuple[int, ...], box: tuple[float, float, float, float]
) -> npt.NDArray[np.float32]:
    image = Image.fromarray(plane).resize(size[::-1], Image.Resampling.BILINEAR, box=box)  # type: ignore[arg-type]
    return np.array(image)


def _spread(classes: npt.NDArray[np.uint8], rows: _Axis, columns: _Axis) -> None:
    """Gives what was not seen the class of the nearest pixel that was."""
    middle = classes[rows.begin : rows.end]
    middle[:, : columns.begin] = middle[:, columns.begin, np.newaxis]
    middle[:, columns.end :] = middle[:, columns.end - 1, np.newaxis]
    classes[: rows.begin] = classes[rows.begin]
    classes[rows.end :] = classes[rows.end - 1]
