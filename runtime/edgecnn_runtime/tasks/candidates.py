"""What a detector's raw outputs say is there, before boxes drop each other: boxes and scores of each kind."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.decoders import RegionsDecoder, SuppressedDecoder, YoloDecoder
from edgecnn_runtime.errors import OutputError
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.tasks.anchors import Cells, boxes_of, cells_at
from edgecnn_runtime.tasks.boxes import to_cxcywh, to_xyxy
from edgecnn_runtime.tasks.scores import sigmoid, softmax
from edgecnn_runtime.tasks.task import Outputs, check_finite, read_output, shaped_output

# The box of a region: what its four numbers are multiplied by, which is about their deviation in training; and the
# largest logarithm of a side. Reference: Ren et al. 2015, py-faster-rcnn, config.py; Detectron, boxes.py.
REGION_DEVIATIONS = (0.1, 0.1, 0.2, 0.2)
LARGEST_REGION_LOG = math.log(1000 / 16)
_BOX, _OBJECT, _CLASSES = slice(0, 4), 4, slice(5, None)  # of the numbers of a cell and anchor
_ROUNDED = 1e-6  # a sigmoid in float32 is off by less


class Candidates(NamedTuple):
    """What passes the thresholds in one image.

    Attributes:
        boxes: (n, 4) float32 xyxy in pixels of the network's input.
        scores: (n,) float32.
        class_ids: (n,) int64.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]


class Thresholds:
    """From which score on a class is answered, and below which raw numbers nothing needs to be decoded.

    Args:
        scores: one a class.
    """

    def __init__(self, scores: Sequence[float]) -> None:
        self.scores = np.array(scores, np.float32)
        self.logits = np.array([_logit(score - _ROUNDED) for score in scores], np.float32)
        self.object_logit = self.logits.min()  # a class's score is never above that of the object


@functools.lru_cache(maxsize=16)  # models, or ways to read one, that take turns
def thresholds_of(decoder: YoloDecoder | RegionsDecoder | SuppressedDecoder, num_classes: int) -> Thresholds:
    """Returns the thresholds of a decoder's classes."""
    return Thresholds(decoder.thresholds(num_classes))


def candidates(manifest: Manifest, outputs: Outputs, images: int) -> Iterator[Candidates]:
    """Yields what passes the thresholds in each image, in the order of scales and cells, or of regions, and classes.

    Args:
        manifest: of a detector with raw outputs.
        outputs: raw outputs by name.
        images: how many rows there must be.

    Raises:
        OutputError: what is read holds NaN or infinity, or no count where one is to be.
        SessionError: an output is missing, or has another shape than the manifest declares.
    """
    decoder = cast(YoloDecoder | RegionsDecoder, manifest.decoder)
    thresholds = thresholds_of(decoder, manifest.num_classes)
    if isinstance(decoder, RegionsDecoder):
        counts = read_counts(manifest, outputs, images)
        regions, logits, shifts = (
            shaped_output(manifest.output(name), outputs, images)
            for name in (decoder.regions, decoder.output, decoder.shifts)
        )
        for index, count in enumerate(counts.tolist()):
            yield _of_regions(decoder, regions[index, :count], logits[index, :count], shifts[index, :count], thresholds)
        return
    grids = [shaped_output(manifest.output(scale.output), outputs, images) for scale in decoder.scales]
    for index in range(images):
        yield _of_grids(decoder, [grid[index] for grid in grids], thresholds)


def all_scores(decoder: YoloDecoder | RegionsDecoder, outputs: Outputs, most: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yields the scores of the first images, (M, classes) of all cells and anchors or of all regions.

    Args:
        decoder: of the outputs.
        outputs: raw outputs by name, finite.
        most: images.
    """
    if isinstance(decoder, RegionsDecoder):
        for logits, count in zip(outputs[decoder.output][:most], outputs[decoder.valid][:most].tolist(), strict=True):
            yield softmax(logits[: int(count)])[:, :-1]
        return
    for grids in zip(*(outputs[scale.output][:most] for scale in decoder.scales), strict=True):
        rows: npt.NDArray[Any] = np.concatenate([grid.reshape(-1, grid.shape[-1]) for grid in grids])
        yield sigmoid(rows[:, 4:5]) * sigmoid(rows[:, 5:])


def read_counts(manifest: Manifest, outputs: Outputs, images: int) -> npt.NDArray[np.int64]:
    """Returns of each image how many rows of a graph's answers mean something, (N,).

    Args:
        manifest: of a graph that gives so many rows, whatever it finds.
        outputs: raw outputs by name.
        images: how many counts there must be.

    Raises:
        OutputError: one is no whole number, or more than there are rows.
    """
    decoder = cast(RegionsDecoder | SuppressedDecoder, manifest.decoder)
    rows = cast(int, manifest.output(decoder.output).shape[0])
    counts = read_output(manifest.output(decoder.valid), outputs, images)
    if not are_whole(counts, rows):
        raise OutputError(
            f"output {decoder.valid!r}: expected whole numbers from 0 to {rows}, received {counts.tolist()}. "
            "The file is damaged."
        )
    return counts.astype(np.int64)


def are_whole(numbers: npt.NDArray[Any], most: int) -> bool:
    """Says whether all are whole numbers from 0 to `most`."""
    return bool(((numbers >= 0) & (numbers <= most) & (numbers % 1 == 0)).all())


def _of_grids(decoder: YoloDecoder, grids: Sequence[npt.NDArray[Any]], thresholds: Thresholds) -> Candidates:
    """Returns what passes in the grids, (rows, columns, anchors, 5 + classes) of each scale.

    Of each cell the object's number is read, and the others of likely cells alone.

    Raises:
        OutputError: what is read holds NaN or infinity.
    """
    raws, places = [], []
    for scale, grid in zip(decoder.scales, grids, strict=True):
        rows = grid.reshape(-1, grid.shape[-1])  # (cells and anchors, 5 + classes)
        objects = rows[:, _OBJECT].copy()
        check_finite(scale.output, objects)
        likely = np.flatnonzero(objects >= thresholds.object_logit)
        if len(likely):
            raws.append(rows[likely])
            check_finite(scale.output, raws[-1])
            places.append(cells_at(likely, grid.shape, scale))
    if not raws:
        return Candidates(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
    raw, cells = np.concatenate(raws), Cells(*map(np.concatenate, zip(*places, strict=True)))
    which, class_ids = np.divmod(np.flatnonzero(raw[:, _CLASSES] >= thresholds.logits), len(thresholds.logits))
    scores = sigmoid(raw[which, _OBJECT]) * sigmoid(raw[which, _CLASSES.start + class_ids])
    passed = scores >= thresholds.scores[class_ids]
    boxes = to_xyxy(boxes_of(raw[:, _BOX], cells))
    return Candidates(boxes[which[passed]], scores[passed], class_ids[passed])


def _of_regions(
    decoder: RegionsDecoder,
    regions: npt.NDArray[Any],
    logits: npt.NDArray[Any],
    shifts: npt.NDArray[Any],
    thresholds: Thresholds,
) -> Candidates:
    """Returns what passes in n regions: (n, 4), (n, classes + 1) and (n, classes, 4).

    The boxes of what passes are decoded, and no others.

    Raises:
        OutputError: what is read holds NaN or infinity.
    """
    check_finite(decoder.output, logits)
    scores = softmax(logits)[:, :-1]
    which, class_ids = np.nonzero(scores >= thresholds.scores)
    moved = shifts[which, class_ids]
    check_finite(decoder.regions, regions)
    check_finite(decoder.shifts, moved)
    return Candidates(boxes_in(regions[which], moved), scores[which, class_ids], class_ids.astype(np.int64))


def boxes_in(regions: npt.NDArray[Any], shifts: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns the boxes that the numbers of regions mean, (K, 4) xyxy in pixels of the network's input.

    Args:
        regions: (K, 4) xyxy.
        shifts: (K, 4) of each the numbers of one class, finite.

    Reference: Ren et al. 2015, Faster R-CNN, section 3.1.2.

    Example:
        >>> boxes_in(np.float32([[0, 0, 10, 20]]), np.float32([[1, 0, 0, 0]])).tolist()
        [[1.0, 0.0, 11.0, 20.0]]
    """
    known, moved = to_cxcywh(regions.astype(np.float32)), shifts * np.array(REGION_DEVIATIONS, np.float32)
    centres = known[:, :2] + moved[:, :2] * known[:, 2:]
    sides = known[:, 2:] * np.exp(np.minimum(moved[:, 2:], np.float32(LARGEST_REGION_LOG)))
    boxes: npt.NDArray[np.float32] = to_xyxy(np.concatenate([centres, sides], axis=1))
    return boxes


def _logit(score: float) -> float:
    """Returns the raw number whose sigmoid is a score; infinite for what no sigmoid is."""
    if not 0 < score < 1:
        return math.inf if score >= 1 else -math.inf
    return math.log(score / (1 - score))
