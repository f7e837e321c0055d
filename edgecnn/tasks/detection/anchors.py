"""Anchors that fit the boxes of data: k-means over their sizes, with 1 - IoU as distance."""

import functools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.samples import Samples, Source
from edgecnn.data.targets import Boxes
from edgecnn.errors import UsageError
from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.images import open_image, read_shape
from edgecnn_runtime.manifest import ImageInput
from edgecnn_runtime.preprocessing import Preprocessor
from edgecnn_runtime.tasks.anchors import size_iou

_BEGINNINGS = 5  # of which the best end is taken
_MOST_ROUNDS = 300
_MOST_BOXES = 20_000  # that k-means works on
_DECIMALS = 2  # of a pixel
_EDGES = (0, 8, 16, 32, 64, 128, 256, 512)  # of the histogram, pixels


@dataclass(frozen=True, slots=True)
class SizeCount:
    """How many boxes are of about a size.

    Attributes:
        least: the square root of the area, in pixels, that they have at least.
        below: and that they stay below; None where there is no end.
        count: how many.
    """

    least: int
    below: int | None
    count: int


@dataclass(frozen=True, slots=True)
class FittedAnchors:
    """Anchors, and how well they fit.

    Attributes:
        anchors: (width, height) of each in pixels of the network's input, the smallest area first.
        mean_best_iou: of the boxes' sizes, each with the anchor that fits it best, 0 to 1.
        boxes: how many they were fitted to.
        sizes: the histogram of these.
    """

    anchors: tuple[tuple[float, float], ...]
    mean_best_iou: float
    boxes: int
    sizes: tuple[SizeCount, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object."""
        return asdict(self)

    def headline(self) -> str:
        """Returns how many boxes there are and how well the anchors fit them, in a few words."""
        return f"{self.boxes:,} boxes, mean best IoU {self.mean_best_iou:.4f}"

    def tables(self) -> list[tuple[list[str], list[list[str]]]]:
        """Returns columns and rows of the anchors, and of the histogram."""
        anchors = [[str(index), *map(str, size)] for index, size in enumerate(self.anchors)]
        sizes = [
            [f"{size.least} or more" if size.below is None else f"{size.least} to {size.below}", f"{size.count:,}"]
            for size in self.sizes
        ]
        return [(["anchor", "width", "height"], anchors), (["size, pixels", "boxes"], sizes)]


def box_sizes(samples: Samples, image_input: ImageInput) -> npt.NDArray[np.float64]:
    """Returns width and height of the boxes that are learned, in pixels of the network's input, (n, 2).

    Groups and difficult objects are no such boxes. Pictures that cannot be decoded are left out, as training leaves
    them out or refuses them. Of the others only the headers are read.

    Args:
        samples: any part.
        image_input: of the network, which says how an image is placed in it.

    Raises:
        UsageError: the data have no boxes.
    """
    if not isinstance(samples.targets, Boxes):
        raise UsageError(f"the {samples.part} part: expected data with boxes, received a class an image")
    preprocessor = Preprocessor(image_input)

    @functools.cache
    def scale(shape: tuple[int, int]) -> tuple[float, float]:
        return preprocessor(np.zeros(shape, np.uint8))[1].scale

    sizes: list[npt.NDArray[np.float64]] = [np.empty((0, 2))]
    for source, objects in zip(samples.sources, samples.targets.images, strict=True):
        boxes = objects.boxes[~(objects.crowd | objects.difficult)]
        if not len(boxes):
            continue
        try:
            shape = _shape(source)
        except ImageError:
            continue
        sizes.append((boxes[:, 2:] - boxes[:, :2]).astype(np.float64) * scale(shape)[::-1])
    return np.concatenate(sizes)


def fit_anchors(sizes: npt.NDArray[Any], count: int, *, seed: int = 0) -> FittedAnchors:
    """Returns anchors that the boxes' sizes lie close to.

    The centre of a cluster is the median of its widths and heights: with means, as in darknet, the mean best IoU was
    less in each of four trials (6 and 9 anchors on `shapes` .823 and .870 against .832 and .885, on BCCD .862 and .881
    against .866 and .884). Of five seeded beginnings, each with centres far from each other, the one that ends best is
    kept. Of many boxes, 20,000 drawn by the seed stand for all.

    Args:
        sizes: (n, 2) width and height, above 0, in pixels of the network's input.
        count: how many anchors, 1 or more.
        seed: of the beginnings.

    Raises:
        UsageError: there are fewer different sizes than anchors.

    Reference: Redmon and Farhadi 2016, YOLO9000, section 2, "Dimension Clusters".

    Example:
        >>> fit_anchors(np.array([[10, 10], [10, 10], [40, 20]]), 2).anchors
        ((10.0, 10.0), (40.0, 20.0))
    """
    sizes = np.asarray(sizes, np.float64)
    distinct = len(np.unique(sizes, axis=0))
    if distinct < count:
        raise UsageError(
            f"anchors: expected boxes of at least {count} different sizes, one an anchor, received {distinct}. Take "
            "data with more boxes, or fewer anchors"
        )
    random = np.random.default_rng(seed)
    drawn = sizes if len(sizes) <= _MOST_BOXES else random.choice(sizes, _MOST_BOXES, replace=False)
    ends = [_clusters(drawn, _far_apart(drawn, count, random)) for _ in range(_BEGINNINGS)]
    best = max(ends, key=lambda centres: _fit(drawn, centres))
    anchors = np.maximum(best, 10.0**-_DECIMALS).round(_DECIMALS)
    anchors = anchors[np.lexsort((anchors[:, 0], anchors.prod(axis=1)))]
    return FittedAnchors(
        tuple((width, height) for width, height in anchors.tolist()), _fit(sizes, anchors), len(sizes), _counts(sizes)
    )


def _shape(source: Source) -> tuple[int, int]:
    """Returns (height, width) of a displayed image."""
    if isinstance(source, np.ndarray):
        return int(source.shape[0]), int(source.shape[1])
    if isinstance(source, bytes):
        image = open_image(source)
        return image.height, image.width
    return read_shape(source)


def _far_apart(sizes: npt.NDArray[np.float64], count: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Returns some of the sizes, each drawn by its squared distance from those before; as k-means++ begins."""
    centres = sizes[random.integers(len(sizes), size=1)]
    for _ in range(count - 1):
        distances = (1 - size_iou(sizes[:, np.newaxis], centres).max(axis=1)).clip(0) ** 2
        distances[(sizes[:, np.newaxis] == centres).all(axis=2).any(axis=1)] = 0  # rounding leaves some
        centres = np.concatenate([centres, sizes[[random.choice(len(sizes), p=distances / distances.sum())]]])
    return centres


def _clusters(sizes: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the best centres of k-means' rounds: a median need not lessen this distance, so the last may be worse."""
    best, best_fit, before = centres, 0.0, np.array([-1])
    for _ in range(_MOST_ROUNDS):
        overlaps = size_iou(sizes[:, np.newaxis], centres)  # (n, count)
        nearest, fitting = overlaps.argmax(axis=1), float(overlaps.max(axis=1).mean())
        if fitting > best_fit:
            best, best_fit = centres, fitting
        if np.array_equal(nearest, before):
            break
        centres = np.array(
            [np.median(sizes[nearest == i], axis=0) if (nearest == i).any() else old for i, old in enumerate(centres)]
        )
        before = nearest
    return best


def _fit(sizes: npt.NDArray[np.float64], anchors: npt.NDArray[np.float64]) -> float:
    return float(size_iou(sizes[:, np.newaxis], anchors).max(axis=1).mean())


def _counts(sizes: npt.NDArray[np.float64]) -> tuple[SizeCount, ...]:
    counts = np.histogram(np.sqrt(sizes.prod(axis=1)), [*_EDGES, np.inf])[0].tolist()
    return tuple(map(SizeCount, _EDGES, (*_EDGES[1:], None), counts))
