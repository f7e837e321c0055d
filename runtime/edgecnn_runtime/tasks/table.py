"""The tasks, one row each; the file of a task is imported when a model needs it."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, cast

from edgecnn_runtime.decoders import TaskName
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.results import Result
from edgecnn_runtime.tasks.task import Outputs, Task

_TASKS: Mapping[TaskName, str] = {
    "classification": "edgecnn_runtime.tasks.classification:CLASSIFICATION",
    "localization": "edgecnn_runtime.tasks.localization:LOCALIZATION",
    "detection": "edgecnn_runtime.tasks.detection:DETECTION",
    "segmentation": "edgecnn_runtime.tasks.segmentation:SEGMENTATION",
    "question": "edgecnn_runtime.tasks.question:QUESTION",
}


def get_task(name: TaskName) -> Task[Any]:
    """Returns the task of that name, as a manifest writes it."""
    module, _, attribute = _TASKS[name].partition(":")
    return cast(Task[Any], getattr(import_module(module), attribute))


def decode(manifest: Manifest, outputs: Outputs, placements: Sequence[Placement]) -> list[Result]:
    """Returns one result an image, by the manifest's task; as `Task.decode`, which says what it takes and raises."""
    return get_task(manifest.task).decode(manifest, outputs, placements)
