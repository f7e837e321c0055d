"""The tasks, one row each; what a row names is imported when a model needs it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecnn.evaluation.metrics import TaskMetric
    from edgecnn_runtime.decoders import TaskName
    from edgecnn_runtime.manifest import Manifest


@dataclass(frozen=True, slots=True)
class TaskRow:
    """Where the parts of a task stand, each as "module:name".

    Attributes:
        own_results: the results that a Keras model means by its raw outputs, without the runtime's decoding.
        narrow: makes of a data set what the task takes, or refuses it.
        metric: of a manifest, makes the metric that files are judged by, and all that an evaluation shows.
        explain: what must be known of a score, for people; None where there is nothing to look for.
        pictures: draws an evaluation; None where there is no picture.
    """

    own_results: str
    narrow: str
    metric: str
    explain: str | None = None
    pictures: str | None = None


TASKS: "Mapping[TaskName, TaskRow]" = {
    "classification": TaskRow(
        own_results="edgecnn.tasks.classification.source:own_results",
        narrow="edgecnn.data.narrowing:as_class_ids",
        metric="edgecnn.tasks.classification.metric:Accuracy",
        explain="edgecnn.tasks.classification.chance:explain_near_chance",
        pictures="edgecnn.tasks.classification.pictures:draw_confusion_matrix",
    ),
}


def load(place: str) -> Callable[..., Any]:
    """Returns what "module:name" names."""
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def metric_of(manifest: "Manifest") -> "Callable[[], TaskMetric]":
    """Returns what makes the metric of a model's task."""
    return partial(load(TASKS[manifest.task].metric), manifest)
