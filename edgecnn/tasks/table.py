"""The tasks, one row each; what a row names is imported when a model needs it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecnn.evaluation.metrics import TaskMetric
    from edgecnn.training.history import Better
    from edgecnn_runtime.decoders import TaskName
    from edgecnn_runtime.manifest import Manifest


WORST = "worst.png"  # the images that are answered worst, of any task


@dataclass(frozen=True, slots=True)
class TaskRow:
    """Where the parts of a task stand, each as "module:name", beside what is said in a word.

    Attributes:
        own_results: the results that a Keras model means by its raw outputs, without the runtime's decoding.
        narrow: makes of a data set what the task takes, or refuses it.
        outputs: of a catalogue row, at the image size asked for, and a number of classes, the decoder and the output
            specs; a row may have its own.
        text: makes the question's input of a model that never saw data; None where no question is asked.
        inputs: names of the arrays that the model takes beside the pixels while it learns.
        inference: of the model that is trained and its manifest, the one that is saved; None where they differ in
            outputs alone, or not at all.
        completed: of an evaluation, the model, its manifest, the samples and the batch size, the evaluation with what
            needs a second look at them; None for the evaluation as it is.
        metric: of a manifest, makes the metric that files are judged by, and all that an evaluation shows.
        arrays: of a part's targets, its images' placements and the input's (height, width), what is learned: arrays by
            name, a row an image, in pixels of the network's input. Where a question is asked, `text` is its input.
        fit: of a manifest, the samples to learn from, the options and the manifest of the run that goes on or None, the
            manifest with what is fitted to them, before the first weight exists; None for nothing.
        of_head: of a manifest and a weights file whose head is taken, the manifest with what that head was trained on,
            or None where that is not known; None for tasks whose manifest holds no such thing.
        trainee: of a model, its row, its manifest and the options, the `Trainee`; a row may have its own.
        epoch_metric: of a manifest, makes the metric that the held-out part is watched by after each epoch, and that
            the best epoch is chosen by; None takes the metric that the trainee watches while it learns.
        better: which values of that metric are.
        augmentations: what `--augment` takes, by name.
        augment: of those names and of images, what changes pixels and arrays while they are learned.
        transfer: builds a model to keep the backbone of, with a head to learn; None takes the model as it is.
        least_classes: how many there must be.
        options: of `TrainConfig`, those that mean something to this task and nothing to others.
        check_options: of a manifest and a `TrainConfig`, refuses before the data are read what cannot go together; None
            where anything can.
        explain: what must be known of a score, for people; None where there is nothing to look for.
        label_order: of an evaluation, the order of the labels in which it would be better beyond chance, if any; None
            for tasks whose answers are not mixed up by that alone.
        pictures: draws into a folder what an evaluation shows besides its worst images; None for nothing.
        picture_names: of the files that it draws.
        settle: of a file's manifest and the metric over its own answers to labelled images, the manifest that it is
            written with; None for the manifest as it is.
        demo: the `DemoPlan` of the task; None where it has none.
        worst_cells: of the manifest, the samples and one of the worst answers, its cells in worst.png, two or four.
    """

    own_results: str
    narrow: str
    metric: str
    outputs: str
    arrays: str
    trainee: str
    text: str | None = None
    inputs: tuple[str, ...] = ()
    inference: str | None = None
    completed: str | None = None
    epoch_metric: str | None = None
    better: "Better" = "higher"
    fit: str | None = None
    of_head: str | None = None
    augmentations: str = "edgecnn.augmentations:AUGMENTATIONS"
    augment: str = "edgecnn.training.augmenting:images_alone"
    transfer: str | None = None
    least_classes: int = 1
    options: frozenset[str] = frozenset()
    check_options: str | None = None
    explain: str | None = None
    label_order: str | None = None
    pictures: str | None = None
    picture_names: tuple[str, ...] = ()
    settle: str | None = None
    demo: str | None = None
    worst_cells: str = "edgecnn.evaluation.pictures:labelled_and_answered"


TASKS: "Mapping[TaskName, TaskRow]" = {
    "classification": TaskRow(
        own_results="edgecnn.tasks.classification.source:own_results",
        narrow="edgecnn.data.narrowing:as_class_ids",
        metric="edgecnn.tasks.classification.metric:Accuracy",
        outputs="edgecnn.tasks.classification.outputs:logits",
        arrays="edgecnn.tasks.classification.outputs:arrays",
        trainee="edgecnn.tasks.classification.trainee:trainee",
        transfer="edgecnn.models.backbone:build_transfer_model",
        least_classes=2,
        explain="edgecnn.tasks.classification.chance:explain_near_chance",
        label_order="edgecnn.tasks.classification.chance:better_order",
        pictures="edgecnn.tasks.classification.pictures:draw_pictures",
        picture_names=("confusion.png",),
        demo="edgecnn.demonstration.plans:DIGITS",
    ),
    "localization": TaskRow(
        own_results="edgecnn.tasks.localization.source:own_results",
        narrow="edgecnn.data.narrowing:largest_boxes",
        metric="edgecnn.tasks.localization.metric:MeanIoU",
        outputs="edgecnn.tasks.localization.outputs:location",
        arrays="edgecnn.tasks.localization.outputs:arrays",
        trainee="edgecnn.tasks.localization.trainee:trainee",
        augmentations="edgecnn.augmentations:BOX_AUGMENTATIONS",
        augment="edgecnn.training.augmenting:with_boxes",
        options=frozenset({"class_weight"}),
    ),
    "detection": TaskRow(
        own_results="edgecnn.tasks.detection.source:own_results",
        narrow="edgecnn.data.narrowing:with_boxes",
        metric="edgecnn.tasks.detection.metric:AveragePrecision",
        outputs="edgecnn.tasks.detection.outputs:yolo",
        arrays="edgecnn.tasks.detection.outputs:arrays",
        fit="edgecnn.tasks.detection.first_anchors:fit",
        of_head="edgecnn.tasks.detection.first_anchors:of_head",
        trainee="edgecnn.tasks.detection.trainee:trainee",
        epoch_metric="edgecnn.tasks.detection.metric:AveragePrecision",
        augmentations="edgecnn.augmentations:DETECTION_AUGMENTATIONS",
        augment="edgecnn.training.augmenting:with_many_boxes",
        options=frozenset({"multi_scale"}),
        check_options="edgecnn.tasks.detection.outputs:check_options",
        pictures="edgecnn.tasks.detection.pictures:draw_pictures",
        picture_names=("precision_recall.png", "ap.png", "f1.png"),
        settle="edgecnn.tasks.detection.operating_points:settled",
        demo="edgecnn.demonstration.plans:SHAPES",
        worst_cells="edgecnn.tasks.detection.pictures:marked_cells",
    ),
    "segmentation": TaskRow(
        own_results="edgecnn.tasks.segmentation.source:own_results",
        narrow="edgecnn.data.narrowing:with_masks",
        metric="edgecnn.tasks.segmentation.metric:ClassMapIoU",
        outputs="edgecnn.tasks.segmentation.outputs:class_map",
        arrays="edgecnn.tasks.segmentation.targets:arrays",
        trainee="edgecnn.tasks.segmentation.trainee:trainee",
        augmentations="edgecnn.augmentations:MASK_AUGMENTATIONS",
        augment="edgecnn.training.augmenting:with_masks",
        least_classes=2,
        options=frozenset({"window"}),
        check_options="edgecnn.tasks.segmentation.outputs:check_options",
        pictures="edgecnn.tasks.segmentation.pictures:draw_pictures",
        picture_names=("confusion.png",),
        demo="edgecnn.demonstration.plans:PIXELS",
        worst_cells="edgecnn.tasks.segmentation.pictures:compared_cells",
    ),
    "question": TaskRow(
        own_results="edgecnn.tasks.question.source:own_results",
        narrow="edgecnn.data.narrowing:with_answers",
        metric="edgecnn.tasks.question.metric:AnswerAccuracy",
        outputs="edgecnn.tasks.question.outputs:answers",
        arrays="edgecnn.tasks.question.outputs:arrays",
        fit="edgecnn.tasks.question.outputs:with_vocabulary",
        trainee="edgecnn.tasks.question.trainee:trainee",
        text="edgecnn.tasks.question.outputs:any_question",
        inputs=("questions",),
        inference="edgecnn.models.vqa:of_one_question",
        completed="edgecnn.tasks.question.metric:with_text_alone",
        augmentations="edgecnn.augmentations:QUESTION_AUGMENTATIONS",
        least_classes=2,
        pictures="edgecnn.tasks.question.pictures:draw_pictures",
        picture_names=("kinds.png",),
        demo="edgecnn.demonstration.plans:ASKED",
        worst_cells="edgecnn.tasks.question.pictures:asked_cells",
    ),
}


def load(place: str) -> Any:
    """Returns what "module:name" names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def metric_of(manifest: "Manifest") -> "Callable[[], TaskMetric]":
    """Returns what makes the metric of a model's task."""
    return partial(load(TASKS[manifest.task].metric), manifest)
