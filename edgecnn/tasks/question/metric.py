"""What answers are worth: the part that is right, by kind of question, beside what is right without looking.

Two numbers stand beside every score: the share of the most frequent answer, which needs neither picture nor question,
and what the model itself gets right with the picture blacked out, which needs no picture. A model that scores no better
than the second reads the questions alone.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.samples import Samples
from edgecnn.data.targets import Asked
from edgecnn.evaluation.evaluate import evaluate
from edgecnn.evaluation.metrics import shown_part
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.model import Feeds, Model
from edgecnn_runtime.tasks.question import Answer

EVERY = "all"


@dataclass(frozen=True, slots=True)
class KindMetrics:
    """The questions of one kind.

    Attributes:
        kind: what they begin with, or what they are about; "all" for all.
        questions: how many.
        answer_accuracy: the part that is answered right, 0 to 1.
        most_frequent: the part whose answer is the most frequent one to these questions.
        text_alone: the part that is answered right with the picture blacked out; None where that was not tried.
    """

    kind: str
    questions: int
    answer_accuracy: float
    most_frequent: float
    text_alone: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AnswerEvaluation:
    """What a model's answers to questions come to.

    Attributes:
        images: that the questions are about.
        every: all questions.
        per_kind: one entry a kind of question, the most frequent first.
        skipped: how many more images were left out, because they cannot be decoded.
    """

    images: int
    every: KindMetrics
    per_kind: tuple[KindMetrics, ...]
    skipped: int = 0

    @property
    def answer_accuracy(self) -> float:
        """The part of all questions that is answered right, 0 to 1."""
        return self.every.answer_accuracy

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object."""
        return {
            "images": self.images,
            "skipped": self.skipped,
            **_tree(self.every),
            "per_kind": [{"kind": one.kind, **_tree(one)} for one in self.per_kind],
        }

    def headline(self) -> str:
        """Returns the accuracy, and what is right without looking, in a few words."""
        alone = self.every.text_alone
        blacked_out = "" if alone is None else f", {alone:.4f} with the picture blacked out"
        return (
            f"answer accuracy {self.answer_accuracy:.4f} ({self.every.most_frequent:.4f} by the most frequent answer"
            f"{blacked_out}) to {self.every.questions:,} questions"
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Returns the columns and the rows of what people read besides."""
        rows = [
            [
                one.kind,
                f"{one.answer_accuracy:.4f}",
                shown_part(one.text_alone),
                f"{one.most_frequent:.4f}",
                f"{one.questions:,}",
            ]
            for one in (*self.per_kind, self.every)
        ]
        return ["question", "right", "picture blacked out", "most frequent answer", "questions"], rows


class AnswerAccuracy:
    """The part of the questions whose likeliest answer is the true one, and what else an evaluation shows.

    Args:
        manifest: of the model.

    Reference:
        Antol et al. 2015, "VQA: Visual Question Answering", section 5.1: the most frequent answer, and the question
        alone, as what a score is to be compared with.
    """

    name = "answer_accuracy"

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._asked: list[Asked] = []
        self._answered: list[int] = []

    def update(self, results: Sequence[Answer], truths: Sequence[Asked]) -> None:
        """Adds a batch: N results and what was asked, with its true answer."""
        self._asked += truths
        self._answered += [result.class_id for result in results]

    def value(self) -> float:
        """Returns the part so far that is answered right, 0 to 1."""
        right = self.scores()
        return float(right.sum()) / max(len(right), 1)

    def scores(self) -> npt.NDArray[np.float64]:
        """Returns 1 for each question that was answered right and 0 for the others, (N,)."""
        true = np.array([asked.class_id for asked in self._asked], np.int64)
        right: npt.NDArray[np.bool_] = np.array(self._answered, np.int64) == true
        return right.astype(np.float64)

    image_scores = scores

    def evaluation(self, *, skipped: int = 0) -> AnswerEvaluation:
        """Returns all that the answers so far come to; there must be some. Each question counts for an image.

        Args:
            skipped: how many images were left out.
        """
        right = self.scores()
        kinds = np.array([asked.kind for asked in self._asked])
        frequent = Counter(kinds.tolist()).most_common()
        return AnswerEvaluation(
            len(right),
            self._of(EVERY, np.ones(len(right), bool), right),
            tuple(self._of(kind, kinds == kind, right) for kind, _ in frequent),
            skipped,
        )

    def _of(self, kind: str, chosen: npt.NDArray[np.bool_], right: npt.NDArray[np.float64]) -> KindMetrics:
        answers = Counter(self._asked[index].class_id for index in np.flatnonzero(chosen))
        count = int(chosen.sum())
        return KindMetrics(kind, count, float(right[chosen].mean()), answers.most_common(1)[0][1] / count)


@dataclass(frozen=True, slots=True)
class _Blind:
    """A model that is shown black pictures."""

    model: Model
    image: str

    def run(self, feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
        return self.model.run({**feeds, self.image: np.zeros_like(feeds[self.image])})


def with_text_alone(
    evaluation: AnswerEvaluation,
    model: Model,
    manifest: Manifest,
    samples: Samples,
    *,
    batch_size: int | None = None,
) -> AnswerEvaluation:
    """Returns the evaluation with what the model gets right with the picture blacked out.

    Args:
        evaluation: of the model over the samples.
        model: is asked once more.
        manifest: of the model.
        samples: as for `evaluate`.
        batch_size: likewise.
    """
    blind = evaluate(_Blind(model, manifest.image_input.name), manifest, samples, batch_size=batch_size, skip_bad=True)
    assert isinstance(blind, AnswerEvaluation), "of models that answer questions alone"
    alone = {one.kind: one.answer_accuracy for one in blind.per_kind}
    return replace(
        evaluation,
        every=replace(evaluation.every, text_alone=blind.answer_accuracy),
        per_kind=tuple(replace(one, text_alone=alone[one.kind]) for one in evaluation.per_kind),
    )


def _tree(one: KindMetrics) -> dict[str, Any]:
    return {
        "questions": one.questions,
        "answer_accuracy": one.answer_accuracy,
        "most_frequent": one.most_frequent,
        "text_alone": one.text_alone,
    }
