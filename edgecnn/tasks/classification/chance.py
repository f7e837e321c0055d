"""Answers that are no better than chance: noticed, and what would explain them tried out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from edgecnn.data.samples import Samples
from edgecnn.evaluation.evaluate import evaluate
from edgecnn.tasks.classification.metric import ClassificationEvaluation
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.model import Model

_FEWEST = 30  # images; of fewer, a useful model may score like this by bad luck
_TRIED_ON = 256  # images, spread over all
_LISTED = 30  # labels
_MARGIN = 0.2  # what an explanation must win, of recall
_SURE = 3.0  # standard deviations, of what another order of labels must win where answers are not near chance
_CAUSES = (
    "the labels in another order than the outputs, colours as BGR instead of RGB, pixels scaled twice or not at all, "
    "or a model that was never trained"
)
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Changed:
    """A model that is shown changed pixels."""

    model: Model
    change: Callable[[Pixels], Pixels]

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        return self.model.run({name: self.change(pixels) for name, pixels in feeds.items()})


_CHANGES: Mapping[str, Callable[[Pixels], Pixels]] = {
    "with the colours as BGR instead of RGB": lambda pixels: np.ascontiguousarray(pixels[..., ::-1]),
    "with pixels from 0 to 1 instead of 0 to 255, so the pixels are not scaled where they should be,": lambda pixels: (
        pixels // 128
    ),
    "with dark and light exchanged": lambda pixels: 255 - pixels,
}


def is_near_chance(evaluation: ClassificationEvaluation) -> bool:
    """Says whether the answers are hardly better than those of somebody who does not look at the images.

    The mean recall of the K classes that occur is taken, not the accuracy: who does not look has 1/K of it whatever he
    answers, while of images of which nine in ten are of one class he may get nine in ten right. Near is below twice
    that or, where classes are few, below a quarter of the way from there to 1. Of fewer than 30 images nothing is said.

    Args:
        evaluation: of a classifier.
    """
    classes = int(np.count_nonzero(evaluation.confusion.sum(axis=1)))
    if evaluation.images < _FEWEST or classes < 2:
        return False
    chance = 1 / classes
    return _mean_recall(evaluation.confusion) < min(2 * chance, chance + 0.25 * (1 - chance))


def explain_near_chance(
    evaluation: ClassificationEvaluation,
    model: Model,
    manifest: Manifest,
    samples: Samples,
    *,
    batch_size: int | None = None,
) -> str | None:
    """Returns a warning where the answers are near chance, with the cause that was found or else the likeliest ones.

    Args:
        evaluation: of the model over the samples.
        model: is tried on up to 256 of them, as BGR, as pixels from 0 to 1, and as a negative.
        manifest: of the model.
        samples: as for `evaluate`.
        batch_size: likewise.

    Returns:
        Text for people, or None where the answers are better than chance.
    """
    if not is_near_chance(evaluation):
        return None
    said = (
        f"accuracy {evaluation.accuracy:.4f} is near chance: of each class, "
        f"{_mean_recall(evaluation.confusion):.4f} is right in the mean"
    )
    tried = [_other_order(evaluation), *_other_pixels(model, manifest, samples, batch_size)]
    best = max(tried, key=lambda one: one.recall)
    helps = best.recall > _mean_recall(evaluation.confusion) + _MARGIN
    return f"{said}. {best.said}" if helps else f"{said}. Likeliest causes: {_CAUSES}"


@dataclass(frozen=True, slots=True)
class _Tried:
    """A cause that was tried out: the mean recall if it were undone, and what to say of it."""

    recall: float
    said: str


@dataclass(frozen=True, slots=True)
class LabelOrder:
    """The labels in the order in which a classifier's answers are right most often.

    Attributes:
        labels: of each output, the class id whose label fits it.
        accuracy: in that order.
        recall: the mean over the classes, of answers that the order was not found on.
        sure: by how many standard deviations those answers are right more often than in the order that is given.
    """

    labels: tuple[int, ...]
    accuracy: float
    recall: float
    sure: float


def best_order(evaluation: ClassificationEvaluation) -> LabelOrder:
    """Looks for the order of the labels that fits best, and tests it on the half that it was not found on.

    Args:
        evaluation: of a classifier.
    """
    confusion = evaluation.confusion
    random = np.random.default_rng(0)
    half = random.multivariate_hypergeometric(confusion.ravel(), evaluation.images // 2).reshape(confusion.shape)
    found, rest = _best_order(half), confusion - half
    moved = found != np.arange(len(found))
    won, lost = rest[moved, found[moved]].sum(), rest.diagonal()[moved].sum()
    outputs = _best_order(confusion)  # of each true class, the output that answers it
    return LabelOrder(
        tuple(np.argsort(outputs).tolist()),
        float(confusion[:, outputs].trace() / evaluation.images),
        _mean_recall(rest[:, found]),
        float((won - lost) / np.sqrt(won + lost + 1)),
    )


def better_order(evaluation: ClassificationEvaluation) -> LabelOrder | None:
    """Returns an order of the labels in which more answers are right beyond chance; None where theirs is the best.

    Args:
        evaluation: of a classifier.
    """
    order = best_order(evaluation)
    return order if order.sure > _SURE and order.accuracy > evaluation.accuracy else None


def _other_order(evaluation: ClassificationEvaluation) -> _Tried:
    order = best_order(evaluation)
    named = [str(one.class_id) if one.name is None else one.name for one in evaluation.per_class]
    labels = [named[label] for label in order.labels]
    listed = ", ".join(labels[:_LISTED]) + (", …" if len(labels) > _LISTED else "")
    return _Tried(
        order.recall,
        f"With the model's labels in the order {listed} it would be {order.accuracy:.4f}: they do not stand in the "
        "order of its outputs, or the data's folders or class ids are mixed up",
    )


def _best_order(confusion: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return np.asarray(linear_sum_assignment(shares, maximize=True)[1], np.int64)


def _other_pixels(model: Model, manifest: Manifest, samples: Samples, batch_size: int | None) -> Iterator[_Tried]:
    """Shows the model some of the images changed."""
    chosen = samples.subset(np.unique(np.linspace(0, len(samples) - 1, _TRIED_ON).astype(np.int64)))
    for what, change in _CHANGES.items():
        if "BGR" in what and manifest.image_input.channels != 3:
            continue
        tried = evaluate(_Changed(model, change), manifest, chosen, batch_size=batch_size, skip_bad=True)
        assert isinstance(tried, ClassificationEvaluation), "explained for classifiers alone"
        said = f"On {tried.images} of the images, {what} it would be {tried.accuracy:.4f}"
        yield _Tried(_mean_recall(tried.confusion), said)


def _mean_recall(confusion: npt.NDArray[np.int64]) -> float:
    """Returns the mean, over the classes that occur, of the part that is answered right."""
    images = confusion.sum(axis=1)
    return float((confusion.diagonal()[images > 0] / images[images > 0]).mean()) if images.any() else 0.0
