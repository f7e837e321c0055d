"""The tasks, one row each; what a row names is imported when a model needs it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecnn_runtime.decoders import TaskName


@dataclass(frozen=True, slots=True)
class TaskRow:
    """Where the parts of a task stand, each as "module:name".

    Attributes:
        own_results: the results that a Keras model means by its raw outputs, without the runtime's decoding.
        metric: makes the metric that files are judged by.
    """

    own_results: str
    metric: str


TASKS: "Mapping[TaskName, TaskRow]" = {
    "classification": TaskRow(
        own_results="edgecnn.tasks.classification:own_results",
        metric="edgecnn.tasks.classification_metric:Accuracy",
    ),
}


def load(place: str) -> Callable[..., Any]:
    """Returns what "module:name" names."""
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
