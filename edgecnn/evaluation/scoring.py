"""Scoring a model on a data set: which part, whether it was learned from, and whether the score is near chance."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgecnn.data.parts import announce, count_learned
from edgecnn.data.samples import Dataset, Samples, Split
from edgecnn.evaluation.evaluate import evaluate
from edgecnn.evaluation.metrics import Evaluation
from edgecnn.evaluation.pictures import Worst
from edgecnn.proposing import check_proposer
from edgecnn.tasks.table import TASKS, load
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.model import Model


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What a model scores on a part of a data set.

    Attributes:
        samples: the part that was scored: "train", "val", "test", or "all".
        learned: how many images of the part the model was trained on, as far as is known.
        evaluation: the score.
        warnings: what must be known of it, for people.
    """

    samples: Samples
    learned: int
    evaluation: Evaluation
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object: split, learned, warnings, and all of the evaluation's."""
        return {
            "split": self.samples.part,
            "learned": self.learned,
            "warnings": list(self.warnings),
            **self.evaluation.to_dict(),
        }


def score_dataset(
    model: Model,
    manifest: Manifest,
    dataset: Dataset,
    *,
    split: Split | None = None,
    trained_on: str | None = None,
    batch_size: int | None = None,
    skip_bad: bool = False,
    on_batch: Callable[[int, int], None] | None = None,
    worst: Worst | None = None,
) -> Scored:
    """Runs a model over a part of a data set.

    Args:
        model: a Session, or a KerasModel.
        manifest: of the model.
        dataset: the data.
        split: which part; None takes test, or val, where the data have one, and else all.
        trained_on: the fingerprint of the data that the model was trained on; None where that is not known.
        batch_size: as for `evaluate`, like the others.
        skip_bad: likewise.
        on_batch: likewise.
        worst: likewise.

    Raises:
        UsageError: the data have no such part, other labels than the model, or boxes of several classes in an image.
        DatasetError: pictures cannot be decoded.
        OutputError: the model answers with NaN or infinity.
    """
    dataset = narrow(manifest, dataset)
    samples = dataset.select(split)
    announce("scoring", dataset, samples)
    evaluation = evaluate(
        model, manifest, samples, batch_size=batch_size, skip_bad=skip_bad, on_batch=on_batch, worst=worst
    )
    place = TASKS[manifest.task].completed
    if place is not None:
        evaluation = load(place)(evaluation, model, manifest, samples, batch_size=batch_size)
    learned = count_learned(dataset, samples, trained_on)
    warnings = []
    if learned:
        others = " or ".join(f"--split {part.part}" for part in dataset.parts if part.part not in ("train", "all"))
        warnings.append(
            f"{learned} of these images are those that the model was trained on: score others with {others}"
        )
    warnings += explain(evaluation, model, manifest, samples, batch_size=batch_size)
    return Scored(samples, learned, evaluation, tuple(warnings))


def narrow(manifest: Manifest, dataset: Dataset) -> Dataset:
    """Returns the data as the model's task takes them.

    Raises:
        UsageError: they are labelled otherwise than the task needs.
        MissingDependencyError: the model looks at regions of them, and what proposes some is not installed.
    """
    check_proposer(manifest)
    narrowed: Dataset = load(TASKS[manifest.task].narrow)(dataset)
    return narrowed


def explain(
    evaluation: Evaluation, model: Model, manifest: Manifest, samples: Samples, *, batch_size: int | None = None
) -> list[str]:
    """Returns what must be known of a score, by the model's task; nothing where all is well.

    Args:
        evaluation: of the model over the samples.
        model: is tried on some of them.
        manifest: of the model.
        samples: as for `evaluate`.
        batch_size: likewise.
    """
    place = TASKS[manifest.task].explain
    said = None if place is None else load(place)(evaluation, model, manifest, samples, batch_size=batch_size)
    return [] if said is None else [said]
