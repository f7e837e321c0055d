"""How far two sets of boxes of one image are apart, and what a golden sample holds of one."""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.decoders import RegionsDecoder, YoloDecoder
from edgecnn_runtime.golden import Held
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.tasks.boxes import iou, to_cxcywh
from edgecnn_runtime.tasks.candidates import all_scores
from edgecnn_runtime.tasks.task import Agreement, Outputs

if TYPE_CHECKING:
    from edgecnn_runtime.tasks.detection import Detections

_CLEAR = 1.01  # times what it needed is a score that rounding does not move below
_PARTNERS = 0.5  # the IoU of two boxes that may be one
_SETTLED_OTHERWISE = 0.1  # the part of an image's boxes that a tie in the suppression may turn
_SETTLED_IN_FEWER_BITS = 1 / 3  # likewise of its regions, where scores have fewer bits
_SAME = 0.995  # the IoU of two boxes that rounding alone tells apart
_SMALLEST = float(np.finfo(np.float32).tiny)  # a score of 0 has a logarithm all the same
_LOOKED_AT = 8  # images
_ENOUGH = 10  # scores an image that pass their thresholds, in the mean
_WANTED = 50  # scores an image where those are fewer, in the median
_MOST_WANTED = 1000  # of any one image
_OVERLAP = 0.3  # the IoU from which a box goes then, so that some do
_LEAST_SCORE = 1e-9  # of a network that says "nothing" this clearly no box is asked for


def compared_by(manifest: Manifest, outputs: Outputs) -> Manifest:
    """Returns the manifest by which the boxes of a detector and of its source are compared.

    Where a network finds nothing, as one with random weights does, any decoding answers right. So where fewer than 10
    scores an image pass, boxes are compared from the score on that 50 of them do, and each drops what overlaps it by an
    IoU of .3: small anchors seldom overlap by more. Operating points do not count then.

    Args:
        manifest: of the detector, with raw outputs.
        outputs: the source's raw outputs of a few images, finite.
    """
    decoder = cast(YoloDecoder | RegionsDecoder, manifest.decoder)
    needed = np.array(decoder.thresholds(manifest.num_classes), np.float32)
    passing, ranked = [], []
    for scores in all_scores(decoder, outputs, _LOOKED_AT):  # (M, classes)
        passing.append(np.count_nonzero(scores >= needed * _CLEAR))
        best = np.sort(scores[:, needed <= 1], axis=None)[::-1]
        ranked.append([best[min(rank, len(best)) - 1] for rank in (_WANTED, _MOST_WANTED)])
    if np.mean(passing) >= _ENOUGH:
        return manifest
    wanted, most = np.array(ranked, np.float64).T
    least = max(float(np.median(wanted)), float(most.max()), _LEAST_SCORE) / _CLEAR**2  # those are clear themselves
    lower = replace(
        decoder,
        score_threshold=min(least, decoder.score_threshold),
        iou_threshold=min(_OVERLAP, decoder.iou_threshold),
        operating_points=None,
    )
    return replace(manifest, decoder=lower)


def in_one_order(manifest: Manifest, reference: Outputs, candidate: Outputs, *, exact: bool) -> Outputs:
    """Returns the candidate's rows beside the reference's rows of the same regions.

    Regions are picked by rank, and of two that overlap one: by scores that are almost equal rounding decides, as by a
    tie in the suppression. So where a tenth of an image's regions at most has no partner (a third, of fewer bits),
    those rows are the reference's own, and count as equal; where more have none, all rows stay where they are.

    Args:
        manifest: of both; its decoder ranks.
        reference: raw outputs by name, N rows each, finite.
        candidate: likewise.
        exact: whether it has the reference's precision: partners are the same up to rounding then.
    """
    decoder = cast(RegionsDecoder, manifest.decoder)
    ordered = {name: values.copy() for name, values in candidate.items()}
    least, without = (_SAME, _SETTLED_OTHERWISE) if exact else (_PARTNERS, _SETTLED_IN_FEWER_BITS)
    for index, (count, other) in enumerate(zip(reference[decoder.valid], candidate[decoder.valid], strict=True)):
        own, theirs = (
            side[decoder.regions][index, : int(number)] for side, number in ((reference, count), (candidate, other))
        )
        pairs = _pairs(iou(own[:, np.newaxis], theirs[np.newaxis]), least)
        if max(len(own), len(theirs)) - len(pairs) > without * max(len(own), 1):
            continue
        mine, others = np.array(pairs, np.intp).reshape(-1, 2).T
        for name in (decoder.regions, decoder.output, decoder.shifts):
            ordered[name][index] = reference[name][index]
            ordered[name][index, mine] = candidate[name][index, others]
        ordered[decoder.valid][index] = count
    return ordered


def compare_boxes(reference: "Detections", candidate: "Detections") -> Agreement:
    """Compares the two sets of boxes; each has at most one partner on the other side.

    Partners are of one class and overlap by an IoU of .5 or more; those that overlap most find each other first.

    Only *clear* boxes are judged: those whose score is 1 % above what was needed on the other side, which is the
    threshold, or the last score there where more were found than an image may have. At that edge rounding alone
    decides on which sides a box appears, and nothing can be learned from one that is missing. Likewise rounding
    decides, of two boxes with almost one score, which drops the other. So in an image with ten clear boxes or more,
    a tenth may be without partner, and of the partners a tenth may lie elsewhere, with other scores then: an error of
    the decoding moves more than that. `differences` hold the largest of all partners that are clear.

    The margin is the logarithm of a score over what it needed: of the clearest box without a partner, or else of
    the reference's clearest one; infinite where it has none.
    """
    pairs = _partners(reference, candidate)
    clear = _clear(reference, candidate), _clear(candidate, reference)
    mine, others = np.array([(i, j) for i, j in pairs if clear[0][i] or clear[1][j]], np.intp).reshape(-1, 2).T
    apart, moved = 1 - iou(reference.boxes[mine], candidate.boxes[others]), reference.scores[mine]
    moved = np.abs(moved - candidate.scores[others])
    judged = np.argsort(apart, kind="stable")[: len(apart) - int(_SETTLED_OTHERWISE * len(apart))]
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
        compared=len(mine) + len(alone),
        differences={
            "scores": float(moved.max(initial=0.0)),
            "boxes": float(apart.max(initial=0.0)),
            "unmatched": float(len(alone)),
        },
        relative={
            "scores": float(moved[judged].max(initial=0.0) / max(float(reference.scores.max(initial=0.0)), _SMALLEST)),
            "boxes": float(apart[judged].max(initial=0.0)),
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
    return _pairs(overlaps, _PARTNERS)


def _pairs(overlaps: npt.NDArray[np.float64], least: float) -> list[tuple[int, int]]:
    """Returns the places, in rows and columns, of those that overlap by so much, the most first, each once."""
    first, second = np.nonzero(overlaps >= least)
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
    return side.scores >= np.maximum(_needed(side, other), _SMALLEST) * _CLEAR


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
