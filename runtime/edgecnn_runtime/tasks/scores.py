"""Class scores: the softmax or sigmoid of logits, the best ones, and how those of two models are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.evidence import ScoresParity
from edgecnn_runtime.golden import Held
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.results import Result
from edgecnn_runtime.tasks.task import Agreement, Outputs, Regions

SHOWN = 5  # classes, where nobody says how many
_SMALLEST = float(np.finfo(np.float32).tiny)  # a score of 0 has a logarithm all the same
_NEGLIGIBLE = 1000.0  # exp(-1000) is 0 in float32; the bound keeps -3e38 - 3e38 from overflowing


@dataclass(frozen=True, slots=True)
class Score:
    """One class and how sure the model is of it.

    Attributes:
        label: the class's name; None for a model that never saw data.
        class_id: its index in the model's output.
        score: 0 to 1.
    """

    label: str | None
    class_id: int
    score: float

    @property
    def name(self) -> str:
        """The label, or else the class id in words."""
        return f"class {self.class_id}" if self.label is None else self.label

    @property
    def caption(self) -> str:
        """The label, or else the class id alone, and the score in per cent: short enough for a picture."""
        return f"{self.class_id if self.label is None else self.label} {self.score:.1%}"


@dataclass(frozen=True, slots=True, eq=False)
class ScoredClasses(Result):
    """What the results of all tasks share in which one class of an image is right.

    Attributes:
        scores: (classes,) float32, each 0 to 1.
        least_score: below it a class is not listed in `predictions`; see `Predictor.with_score_threshold`.
    """

    scores: npt.NDArray[np.float32]
    least_score: float = field(default=0.0, kw_only=True)

    @property
    def is_unsure(self) -> bool:
        """Whether even the best class's score is below `least_score`, so that there is no prediction."""
        return bool(self.scores.max() < np.float32(self.least_score))

    @property
    def class_id(self) -> int:
        """The best class's index; of equal ones the lowest."""
        return int(self.scores.argmax())

    @property
    def label(self) -> str | None:
        """The best class's name; None for a model that never saw data."""
        return self.name_of(self.class_id)

    @property
    def score(self) -> float:
        """The best class's score."""
        return float(self.scores.max())

    def lines(self, limit: int = SHOWN) -> list[str]:
        """Returns the best classes with their scores, or that there is none; as for every `Result`."""
        if self.is_unsure:
            return [f"unsure ({self.told(1)[0]})"]
        return self.told(limit)

    def captions(self, limit: int) -> list[str]:
        """Returns what stands on a picture: the best classes with their scores, or that there is none."""
        if self.is_unsure:
            return [f"unsure: {self.top(1)[0].caption}"]
        return [best.caption for best in self.listed(limit)]

    def told(self, limit: int) -> list[str]:
        """Returns the classes that `lines` tells of, whether they are sure or not: the best at least."""
        return [f"{best.name} {best.score:.4f}" for best in self.listed(limit) or self.top(1)]

    def listed(self, k: int) -> list[Score]:
        """Returns the k best classes as `top` does, without those below `least_score`.

        Raises:
            ValueError: k is below 1.
        """
        least = np.float32(self.least_score)
        return [best for best in self.top(k) if self.scores[best.class_id] >= least]

    def top(self, k: int) -> list[Score]:
        """Returns the k best classes, best first; of equal ones the lower class id comes first.

        Raises:
            ValueError: k is below 1.
        """
        return [
            Score(self.name_of(index), index, float(self.scores[index])) for index in top_k(self.scores, k).tolist()
        ]


class ScoresAlone:
    """What the tasks share whose results are class scores and nothing else: all but the decoding."""

    columns: tuple[str, ...] = ("name", "class", "confidence")
    regions: Regions | None = None
    shown = SHOWN
    unsure = True
    record: type[ScoresParity] = ScoresParity

    def compared_by(self, manifest: Manifest, outputs: Outputs) -> Manifest:
        """Returns the manifest itself: every image has an answer."""
        del outputs
        return manifest

    def aligned(self, manifest: Manifest, reference: Outputs, candidate: Outputs, *, exact: bool) -> Outputs:
        """Returns the candidate's outputs as they are: no decoder of this task ranks."""
        del manifest, reference, exact
        return candidate

    def agreement(self, reference: ScoredClasses, candidate: ScoredClasses) -> Agreement:
        """Compares all scores: absolute, and as a part of the reference's best one."""
        return compare_scores(reference.scores, candidate.scores)

    def parity(self, images: int, agreeing: int, differences: Mapping[str, float], compared: int) -> ScoresParity:
        """Returns the record for the evidence; an image counts once for each question about it."""
        del compared
        return self.record(images, agreeing / max(images, 1), differences.get("scores", 0.0))

    def hold(self, result: ScoredClasses, limit: int | None = None) -> Held:
        """Holds the best classes' names and scores."""
        return hold_scores(result.top(len(result.scores) if limit is None else limit))


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns class probabilities; the largest logit is subtracted first, so that nothing overflows.

    Args:
        logits: (N, classes) float32 or float16, finite.

    Returns:
        (N, classes) float32, each row sums to 1.

    Example:
        >>> softmax(np.array([[0.0, 0.0], [1000.0, -1000.0]])).tolist()
        [[0.5, 0.5], [1.0, 0.0]]
    """
    exponentials = logits.astype(np.float32)  # a copy, which the steps below overwrite
    top = np.maximum.reduce(exponentials, axis=1, keepdims=True)  # (N, 1)
    np.maximum(exponentials, top - _NEGLIGIBLE, out=exponentials)
    exponentials -= top
    np.exp(exponentials, out=exponentials)
    exponentials /= np.add.reduce(exponentials, axis=1, keepdims=True)
    return exponentials


def sigmoid(logits: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns 1 / (1 + exp(-logit)) for each number; exp is taken of none above 0, so that nothing overflows.

    Args:
        logits: any shape, float32 or float16, finite.

    Returns:
        The same shape, float32, 0 to 1; small ones are as exact, relative to themselves, as large ones.

    Example:
        >>> sigmoid(np.array([0.0, 1000.0, -1000.0])).tolist()
        [0.5, 1.0, 0.0]
    """
    scores = logits.astype(np.float32)  # a copy, which the steps below overwrite
    small = np.exp(-np.abs(scores))
    np.minimum(scores, 0, out=scores)
    np.exp(scores, out=scores)
    scores /= small + np.float32(1)
    return scores


def two_classes(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns the scores of both classes that one unit tells apart.

    Args:
        scores: (N, 1) float32, of the second class.

    Returns:
        (N, 2) float32, each row sums to 1.
    """
    return np.concatenate([np.float32(1) - scores, scores], axis=1)


def top_k(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.intp]:
    """Returns the class ids of the k best scores, best first; of equal scores the lower class id comes first.

    Args:
        scores: (classes,) float32.
        k: 1 or more; at most all classes are returned.

    Raises:
        ValueError: k is below 1.

    Example:
        >>> top_k(np.array([0.25, 0.5, 0.25], dtype=np.float32), 2).tolist()
        [1, 0]
    """
    if k < 1:
        raise ValueError(f"k: expected 1 or more, received {k}")
    return np.argsort(-scores, kind="stable")[:k]


def compare_scores(reference: npt.NDArray[np.float32], candidate: npt.NDArray[np.float32]) -> Agreement:
    """Returns how far the class scores of one image are apart, as "scores".

    Args:
        reference: (classes,) each 0 to 1. Of a single class the margin is infinite.
        candidate: likewise.

    Returns:
        The largest difference, and the same as a part of the reference's best score.

    Raises:
        ValueError: they score other numbers of classes.

    Example:
        >>> found = compare_scores(np.float32([0.25, 0.75]), np.float32([0.5, 0.5]))
        >>> found.same, found.differences, round(found.margin, 3)
        (False, {'scores': 0.25}, 1.099)
    """
    if reference.shape != candidate.shape:
        raise ValueError(f"scores: expected as many as the source gives, {reference.shape}, received {candidate.shape}")
    difference = float(np.abs(reference - candidate).max())
    logs = np.log(np.maximum(reference, _SMALLEST).astype(np.float64))
    second, first = np.partition(logs, -2)[-2:] if len(logs) > 1 else (-np.inf, logs[0])
    return Agreement(
        same=bool(reference.argmax() == candidate.argmax()),
        margin=float(first - second),
        largest_log=float(np.abs(logs).max()),
        differences={"scores": difference},
        relative={"scores": difference / max(float(reference.max()), _SMALLEST)},
    )


def hold_scores(best: Sequence[Score]) -> Held:
    """Returns what a golden sample holds of class scores: the names, each score, and the best one whatever its class.

    Args:
        best: best first, one or more.
    """
    return Held(
        words={f"class {one.class_id}": repr(one.label) for one in best},
        numbers={**{f"score of class {one.class_id}": one.score for one in best}, "best score": best[0].score},
        told=f"{best[0].name if best[0].label is None else repr(best[0].label)} {best[0].score:.4f}",
    )
