"""Regions that a network looks at one by one where it proposes none itself: who gives them, and how it takes them.

They come from outside: a user's own boxes of a picture, or a function that proposes some on the network's pixels, as
`edgecnn.proposing.selective_search` does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.errors import ManifestError, ProposalsError

if TYPE_CHECKING:
    from edgecnn_runtime.preprocessing import Placement

LEAST_SIDE = 1.0  # pixels of the network's input; a region of less is none
_MOST = 10_000
_LEVELS = 4  # of windows: the whole picture, halves, quarters, eighths of its sides

Proposer: TypeAlias = Callable[[npt.NDArray[np.uint8]], npt.NDArray[Any]]  # (H, W, C) pixels to (P, 4) xyxy on them
Proposals: TypeAlias = Proposer | npt.ArrayLike  # (P, 4) xyxy in pixels of the picture


@dataclass(frozen=True, slots=True)
class ProposalsInput:
    """Regions of the image as an input of the graph: float32 (N, count, 4), xyxy in pixels of its input, zeros behind.

    Attributes:
        name: the graph input's name.
        count: how many regions an image has at most; those after are cut.
        kind: always "proposals".
    """

    name: str
    count: int
    kind: Literal["proposals"] = "proposals"
    dtype: ClassVar[str] = "float32"

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Of the graph's input, without the batch axis."""
        return (self.count, 4)

    def check(self) -> None:
        """Refuses a number that no graph has.

        Raises:
            ManifestError: it is out of range.
        """
        if not 1 <= self.count <= _MOST:
            raise ManifestError(
                f"manifest: input {self.name!r}: expected a count from 1 to {_MOST:,} regions, received {self.count}"
            )

    def read(
        self, proposals: Proposals, pixels: npt.NDArray[np.uint8], placement: "Placement"
    ) -> npt.NDArray[np.float32]:
        """Returns the regions of one image as the graph takes them, (1, count, 4).

        They are cut at the borders of the pixels; of what is left those without a side of a pixel are left out.

        Args:
            proposals: boxes of the picture, or what proposes some on its pixels.
            pixels: (1, H, W, C) of the network's input.
            placement: of the picture in them.

        Raises:
            ProposalsError: they are no boxes.
        """
        if callable(proposals):
            boxes = _boxes(proposals(pixels[0]))
        else:
            boxes = placement.to_input(_boxes(proposals).reshape(-1, 2)).reshape(-1, 4)
        height, width = pixels.shape[1:3]
        boxes = np.clip(boxes, 0, [width, height, width, height])
        boxes = boxes[(boxes[:, 2:] - boxes[:, :2] >= LEAST_SIDE).all(axis=1)][: self.count]
        taken = np.zeros((1, self.count, 4), np.float32)
        taken[0, : len(boxes)] = boxes
        return taken


def windows(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Proposes the same windows on all pixels, for measurements of time; see `windows_over`.

    Args:
        pixels: (H, W, C).
    """
    return windows_over((pixels.shape[0], pixels.shape[1]))


def windows_over(image_size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Returns windows over a picture, (284, 4) xyxy: all of it, and parts that overlap their neighbours.

    They are 1, 9, 49 and 225 of 1, 1/2, 1/4 and 1/8 of its sides, in that order.

    Args:
        image_size: (height, width) in pixels.
    """
    height, width = image_size
    boxes = []
    for parts in (2**level for level in range(_LEVELS)):
        for row, column in product(range(2 * parts - 1), repeat=2):
            left, top = column * width / parts / 2, row * height / parts / 2
            boxes.append((left, top, left + width / parts, top + height / parts))
    return np.array(boxes, np.float32)


def _boxes(given: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns boxes that are some, (P, 4)."""
    try:
        boxes = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise ProposalsError(f"proposals: expected boxes x1, y1, x2, y2, received {str(given)[:60]!r}") from error
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ProposalsError(f"proposals: expected boxes x1, y1, x2, y2, shape (P, 4), received shape {boxes.shape}")
    wrong = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    if wrong.any():
        first = [float(value) for value in boxes[np.argmax(wrong)]]
        raise ProposalsError(f"proposals: expected x1 < x2 and y1 < y2 in pixels of the picture, received {first}")
    return boxes
