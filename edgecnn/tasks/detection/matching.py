"""Which of the boxes that were answered are right, by each protocol that counts them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets import Objects
from edgecnn_runtime.tasks.boxes import area, iou

RIGHT, FALSE, PASSED = 1, 0, -1  # the last is neither counted nor blamed
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # COCO's; pycocotools, Params.setDetParams
LEAST_IOU = 0.5  # of a box that counts as right; Everingham et al. 2010, section 4.2
MOST = 100  # answers of a class in an image that COCO looks at

Verdict = npt.NDArray[np.int8]


class ScoredBoxes(Protocol):
    """The boxes that were found in an image.

    Attributes:
        boxes: (n, 4) float32 xyxy in pixels of the displayed image.
        scores: (n,) float32, 0 to 1.
        class_ids: (n,) int64.
    """

    @property
    def boxes(self) -> npt.NDArray[np.float32]: ...  # noqa: D102
    @property
    def scores(self) -> npt.NDArray[np.float32]: ...  # noqa: D102
    @property
    def class_ids(self) -> npt.NDArray[np.int64]: ...  # noqa: D102


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The answers to one image or to many, without their boxes: 20 bytes each.

    Each verdict is RIGHT, FALSE or PASSED.

    Attributes:
        class_ids: (n,) int32.
        scores: (n,) float32, those of an image best first, of equal ones in the order of the answers.
        coco: (n, 10) int8, the verdicts at each of `IOU_THRESHOLDS`.
        voc: (n,) int8, that of Pascal VOC at an IoU of .5.
        plain: (n,) int8, as COCO's at .5, but difficult objects are passed over and no answer is too many.
    """

    class_ids: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    coco: Verdict
    voc: Verdict
    plain: Verdict

    @classmethod
    def joined(cls, parts: Sequence["Judged"]) -> "Judged":
        """Returns the answers to several images, one image after the other."""
        return cls(
            np.concatenate([np.empty(0, np.int32), *(part.class_ids for part in parts)]),
            np.concatenate([np.empty(0, np.float32), *(part.scores for part in parts)]),
            np.concatenate([np.empty((0, len(IOU_THRESHOLDS)), np.int8), *(part.coco for part in parts)]),
            np.concatenate([np.empty(0, np.int8), *(part.voc for part in parts)]),
            np.concatenate([np.empty(0, np.int8), *(part.plain for part in parts)]),
        )


def judge(found: ScoredBoxes, truth: Objects) -> Judged:
    """Returns what each answer to an image is worth, best first.

    - COCO: an answer takes the truth of its class that it overlaps most among those that are free at this IoU, and a
      crowd only where there is none. Answers in a crowd are passed over; the overlap with a crowd is the part of the
      answer that lies in it. Difficult objects are objects like others. Of a class, 100 answers an image are looked at.
    - Pascal VOC: an answer goes to the truth that it overlaps most, and is false where a better one went there. It is
      passed over where that one is difficult. VOC knows no crowds: what goes nowhere and lies in one is passed over.
    - Plain: as COCO, with answers at difficult objects passed over as in crowds.

    Args:
        found: in any order.
        truth: with the class ids of `found`, in pixels of the same image.

    Reference:
        Lin et al. 2014, "Microsoft COCO", and pycocotools, COCOeval.evaluateImg; Everingham et al. 2010, "The Pascal
        Visual Object Classes (VOC) Challenge", section 4.2, and its development kit, VOCevaldet.m.
    """
    order = np.argsort(-found.scores, kind="stable")
    boxes, class_ids = found.boxes[order], found.class_ids[order]
    coco = np.full((len(order), len(IOU_THRESHOLDS)), FALSE, np.int8)
    voc, plain = np.full(len(order), FALSE, np.int8), find_faults(found, truth)[0][order]
    for class_id in np.unique(class_ids):
        own = np.flatnonzero(class_ids == class_id)
        truths = truth.subset(np.flatnonzero(truth.class_ids == class_id))
        if len(truths):
            overlaps = _overlaps(boxes[own], truths)
            coco[own], _ = _greedy(overlaps, truths.crowd, IOU_THRESHOLDS)
            voc[own] = _by_best(overlaps, truths)
        coco[own[MOST:]] = PASSED
    return Judged(class_ids.astype(np.int32), found.scores[order].astype(np.float32), coco, voc, plain)


def find_faults(found: ScoredBoxes, truth: Objects) -> tuple[Verdict, npt.NDArray[np.bool_]]:
    """Returns the plain verdict on each answer, (n,), and which objects none of them found, (m,); see `judge`.

    Args:
        found: in any order.
        truth: with the class ids of `found`, in pixels of the same image. Of its crowds and difficult objects none
            counts as missed.
    """
    order, passed = np.argsort(-found.scores, kind="stable"), truth.crowd | truth.difficult
    verdicts, missed = np.full(len(order), FALSE, np.int8), ~passed
    for class_id in np.unique(found.class_ids):
        own, marked = order[found.class_ids[order] == class_id], np.flatnonzero(truth.class_ids == class_id)
        if len(marked):
            overlaps = _overlaps(found.boxes[own], truth.subset(marked))
            judged, taken = _greedy(overlaps, passed[marked], np.array([LEAST_IOU]))
            verdicts[own], missed[marked[taken[0]]] = judged[:, 0], False
    return verdicts, missed


def _overlaps(boxes: npt.NDArray[np.float32], truths: Objects) -> npt.NDArray[np.float64]:
    """Returns how much answers overlap truths, (n, m): IoU, and of a crowd the part of the answer that lies in it."""
    found: npt.NDArray[np.float64] = iou(boxes[:, np.newaxis], truths.boxes[np.newaxis])
    if truths.crowd.any():
        crowds = truths.boxes[truths.crowd].astype(np.float64)
        own = boxes[:, np.newaxis].astype(np.float64)
        sides = np.minimum(own[..., 2:], crowds[..., 2:]) - np.maximum(own[..., :2], crowds[..., :2])
        shared, areas = sides.clip(0).prod(axis=-1), area(own)
        found[:, truths.crowd] = np.divide(shared, areas, out=np.zeros_like(shared), where=areas > 0)
    return found


def _greedy(
    overlaps: npt.NDArray[np.float64], passed: npt.NDArray[np.bool_], thresholds: npt.NDArray[np.float64]
) -> tuple[Verdict, npt.NDArray[np.bool_]]:
    """Gives each answer in turn the best truth that is free, at each threshold on its own.

    Args:
        overlaps: (n, m) of answers, best first, and truths.
        passed: (m,) truths that count for nothing: any number of answers may take one, where no other truth is free.
        thresholds: (t,) ascending.

    Returns:
        (n, t) of the answers, and (t, m) whether a truth was taken.
    """
    verdicts = np.full((len(overlaps), len(thresholds)), FALSE, np.int8)
    taken = np.zeros((len(thresholds), len(passed)), bool)
    for number in np.flatnonzero(overlaps.max(axis=1) >= thresholds[0]):
        order = np.lexsort((overlaps[number], ~passed))[::-1]  # of equal ones the last, as pycocotools has it
        fits = (overlaps[number] >= thresholds[:, np.newaxis]) & (passed | ~taken)  # (t, m)
        levels = np.flatnonzero(fits.any(axis=1))
        chosen = order[fits[np.ix_(levels, order)].argmax(axis=1)]
        taken[levels, chosen] = True
        verdicts[number, levels] = np.where(passed[chosen], PASSED, RIGHT)
    return verdicts, taken


def _by_best(overlaps: npt.NDArray[np.float64], truths: Objects) -> Verdict:
    """Sends each answer in turn to the truth that it overlaps most, (n,)."""
    verdicts = np.full(len(overlaps), FALSE, np.int8)
    taken = np.zeros(len(truths), bool)
    single = np.where(truths.crowd, -1.0, overlaps)
    for number in np.flatnonzero(overlaps.max(axis=1) >= LEAST_IOU):
        best = int(single[number].argmax())
        if single[number, best] < LEAST_IOU or truths.difficult[best]:
            verdicts[number] = PASSED  # what is no truth's is a crowd's
        elif not taken[best]:
            verdicts[number], taken[best] = RIGHT, True
    return verdicts
