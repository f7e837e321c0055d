"""How far two sets of boxes of one image are apart, and what a golden sample holds of one."""

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.golden import Held
from edgecnn_runtime.tasks.boxes import iou, to_cxcywh
from edgecnn_runtime.tasks.task import Agreement

if TYPE_CHECKING:
    from edgecnn_runtime.tasks.detection import Detections

_CLEAR = 0.01  # of a score above what it needed
_PARTNERS = 0.5  # the IoU of two boxes that may be one
_SETTLED_OTHERWISE = 0.1  # the part of an image's boxes that a tie in the suppression may turn
_SMALLEST = float(np.finfo(np.float32).tiny)  # a score of 0 has a logarithm all the same


def compare_boxes(reference: "Detections", candidate: "Detections") -> Agreement:
    """Compares the two sets of boxes; each has at most one partner on the other side.

    Partners are of one class and overlap by an IoU of .5 or more; those that overlap most find each other first.

    Only *clear* boxes are judged: those whose score is .01 above what was needed on the other side, which is the
    threshold, or the last score there where more were found than an image may have. At that edge rounding alone
    decides on which sides a box appears, and nothing can be learned from one that is missing. Likewise rounding
    decides, of two boxes with almost one score, which drops the other. So in an image with ten clear boxes or more,
    a tenth may be without partner, and of the partners a tenth may lie elsewhere: an error of the decoding moves
    more than that. `differences` hold the largest of all partners that are clear.

    The margin is the logarithm of a score over what it needed: of the clearest box without a partner, or else of
    the reference's clearest one; infinite where it has none.
    """
    pairs = _partners(reference, candidate)
    clear = _clear(reference, candidate), _clear(candidate, reference)
    mine, others = np.array([(i, j) for i, j in pairs if clear[0][i] or clear[1][j]], np.intp).reshape(-1, 2).T
    apart = np.sort(1 - iou(reference.boxes[mine], candidate.boxes[others]))
    difference = float(np.abs(reference.scores[mine] - candidate.scores[others]).max(initial=0.0))
    logs = np.log(np.maximum(reference.scores, _SMALLEST).astype(np.float64))
    alone = (
        *_margins(reference, candidate, clear[0], [i for i, _ in pairs]),
        *_margins(candidate, reference, clear[1], [j for _, j in pairs]),
    )
    same = len(alone) <= int(_SETTLED_OTHERWISE * max(int(side.sum()) for side in clear))
    return Agreement(
        same=same,
        margin=max(_margins(reference, candidate, clear[0], ()), default=math.inf) if same else max(alone),
        largest_log=float(np.abs(logs).max(initial=0.0)),
        differences={
            "scores": difference,
            "boxes": float(apart.max(initial=0.0)),
            "unmatched": float(len(alone)),
        },
        relative={
            "scores": difference / max(float(reference.scores.max(initial=0.0)), _SMALLEST),
            "boxes": float(apart[: len(apart) - int(_SETTLED_OTHERWISE * len(apart))].max(initial=0.0)),
        },
    )


def hold_boxes(result: "Detections", limit: int | None = None) -> Held:
    """Holds what a little rounding moves a little, of the classes of the best boxes.

    On another machine boxes of almost one score change places, and one at the threshold may be missing. So no box
    is held for itself. Each weighs what its score is above the one that it needed, 0 at the threshold and 1 at
    most. With S the sum of the weights of a class, its numbers are the best score (without any box what it needed),
    S / (1 + S), and likewise the weighted sums of centre, width and height, as parts of the image's sides, over
    1 + S. All of them change with their boxes, and with the number of boxes.
    """
    classes = dict.fromkeys(result.class_ids.tolist())
    if limit is None:
        classes.update(dict.fromkeys(range(0 if result.needed is None else len(result.needed))))
    weights = _weights(result)
    numbers = {"weight of the best box": float(weights.max(initial=0.0)), "weight of all": _bounded(weights)}
    words = {}
    for class_id in list(classes)[:limit]:
        own, what = result.class_ids == class_id, f"of class {class_id}"
        words[f"class {class_id}"] = repr(result.name_of(class_id))
        least = 0.0 if result.needed is None else min(float(result.needed[class_id]), 1.0)
        numbers[f"best score {what}"] = float(result.scores[own].max(initial=least))
        numbers[f"weight {what}"] = _bounded(weights[own])
        numbers.update({f"{name} {what}": part for name, part in _parts(result, weights, own).items()})
    return Held(words, numbers, ", ".join(result.lines()))


def _partners(reference: "Detections", candidate: "Detections") -> list[tuple[int, int]]:
    """Returns the places of boxes of one class that belong together, those that overlap most first."""
    overlaps = iou(reference.boxes[:, np.newaxis], candidate.boxes[np.newaxis])
    overlaps[reference.class_ids[:, np.newaxis] != candidate.class_ids] = 0
    first, second = np.nonzero(overlaps >= _PARTNERS)
    order = np.argsort(-overlaps[first, second], kind="stable")
    taken, pairs = (set[int](), set[int]()), list[tuple[int, int]]()
    for mine, other in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if mine not in taken[0] and other not in taken[1]:
            taken[0].add(mine)
            taken[1].add(other)
            pairs.append((mine, other))
    return pairs


def _needed(side: "Detections", other: "Detections") -> npt.NDArray[np.float64]:
    """Returns the score that each box of a side needed to be on the other side, or else on its own; 0 if unknown."""
    known = side.needed if other.needed is None else other.needed
    return np.zeros(len(side)) if known is None else known[side.class_ids].astype(np.float64)


def _clear(side: "Detections", other: "Detections") -> npt.NDArray[np.bool_]:
    return side.scores >= _needed(side, other) + _CLEAR


def _margins(
    side: "Detections", other: "Detections", clear: npt.NDArray[np.bool_], partnered: Collection[int]
) -> list[float]:
    """Returns, of each clear box but those with a partner, the logarithm of its score over what it needed."""
    alone = clear.copy()
    alone[list(partnered)] = False
    parts = side.scores[alone] / np.maximum(_needed(side, other)[alone], _SMALLEST)
    found: list[float] = np.log(parts).tolist()
    return found


def _weights(result: "Detections") -> npt.NDArray[np.float64]:
    """Returns how far each box is above the score that it needed, as a part of the way to 1."""
    needed = _needed(result, result).clip(0, 1)
    weights: npt.NDArray[np.float64] = ((result.scores - needed) / np.maximum(1 - needed, _SMALLEST)).clip(0, 1)
    return weights


def _bounded(weights: npt.NDArray[np.float64]) -> float:
    total = float(weights.sum())
    return total / (1 + total)


def _parts(result: "Detections", weights: npt.NDArray[np.float64], own: npt.NDArray[np.bool_]) -> Mapping[str, float]:
    """Returns a class's weighted sums of centres and sizes, as parts of the image's sides, over 1 + their weight."""
    height, width = result.shape
    boxes = to_cxcywh(result.boxes[own].astype(np.float64)) / ([width, height] * 2)
    sums = (boxes * weights[own][:, np.newaxis]).sum(axis=0) / (1 + weights[own].sum())
    return dict(zip(("centre x", "centre y", "width", "height"), sums.tolist(), strict=True))
