"""Evaluating a model, Keras or ONNX alike, by the preprocessing and decoding that the device uses."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from edgecnn.data.bad_pictures import BadPicture, refuse_bad_pictures
from edgecnn.data.batches import images_together, iter_ready
from edgecnn.data.samples import Samples
from edgecnn.errors import UsageError
from edgecnn.evaluation.metrics import Evaluation
from edgecnn.evaluation.pictures import Worst
from edgecnn.tasks.table import metric_of
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.model import Model, read_by, run_all
from edgecnn_runtime.tasks.table import get_task
from edgecnn_runtime.tiles import of_pictures

logger = logging.getLogger(__name__)


def evaluate(
    model: Model,
    manifest: Manifest,
    samples: Samples,
    *,
    batch_size: int | None = None,
    skip_bad: bool = False,
    on_batch: Callable[[int, int], None] | None = None,
    worst: Worst | None = None,
) -> Evaluation:
    """Runs a model over labelled images and scores its answers by the metric of its task.

    Args:
        model: a Session, or a KerasModel.
        manifest: of the model; its labels are matched with the data's by name, in whatever order they stand.
        samples: at least one labelled image.
        batch_size: images a run, or tiles of one; every run gets exactly so many, the last one filled up with copies
            whose answers are dropped. A graph of fixed batch needs its own number here (`Session.batch`). None takes
            what suits the size of the images.
        skip_bad: leave the pictures out that cannot be decoded, and count them.
        on_batch: called with (images done, images in all).
        worst: keeps the worst answers.

    Returns:
        What the task shows: of a classifier accuracy, top-5, precision and recall a class, and the confusion matrix.

    Raises:
        UsageError: the data's labels are not the model's.
        DatasetError: pictures cannot be decoded, all of which were looked for; or, with `skip_bad`, none can.
        OutputError: the model answers with NaN or infinity.
    """
    to_model, task, metric = class_map(manifest, samples), get_task(manifest.task), metric_of(manifest)()
    together = batch_size or images_together(manifest)
    answering, batch_size = of_pictures(read_by(model, metric.manifest), manifest, together)
    bad = list[BadPicture]()
    seen = set[int]()  # positions of images; one has a row for each question
    for batch in iter_ready(samples, manifest, batch_size or 1, to_model=to_model, on_bad=bad.append):
        if bad and not skip_bad:
            continue  # there will be no score: the rest is only decoded, to name all bad pictures at once
        outputs = run_all(answering, batch.feeds, batch_size)
        results = task.decode(metric.manifest, outputs, batch.placements)
        if batch.questions is not None:
            pairs = zip(results, batch.questions, strict=True)
            results = [replace(result, question=question) for result, question in pairs]
        metric.update(results, batch.truths)
        if worst is not None:
            worst.add(batch.positions, results, metric.image_scores()[-len(results) :])
        seen.update(batch.positions.tolist())
        if on_batch is not None:
            on_batch(len(seen) + len(bad), len(samples))
    if not skip_bad or not seen:
        refuse_bad_pictures(bad, of=len(samples))
    evaluation = metric.evaluation(skipped=len(bad))
    if evaluation.images != len(seen):  # the metric is fed row by row
        evaluation = replace(cast(Any, evaluation), images=len(seen))
    logger.info("evaluated %d images: %s", evaluation.images, evaluation.headline())
    return evaluation


def class_map(manifest: Manifest, samples: Samples) -> npt.NDArray[np.int64]:
    """Returns, for each class id of the data, the model's.

    Raises:
        UsageError: the data's labels are not the model's.
    """
    if manifest.labels is None and len(samples.labels) == manifest.num_classes:
        return np.arange(manifest.num_classes)
    if manifest.labels is None or set(manifest.labels) != set(samples.labels):
        expected = f"{manifest.num_classes} classes" if manifest.labels is None else str(list(manifest.labels))
        raise UsageError(
            f"the data's labels do not fit the model: expected {expected}, received {list(samples.labels)}. "
            "Give data of the classes that the model was trained on"
        )
    return np.array([manifest.labels.index(label) for label in samples.labels])
