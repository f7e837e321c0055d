"""What the held-out part is worth after an epoch by the metric that files are judged by, as `evaluate` would say it."""

import keras
import numpy as np
import numpy.typing as npt

from edgecnn.data.cache import CachedPart
from edgecnn.data.targets import Targets
from edgecnn.models.adapter import KerasModel
from edgecnn.proposing import with_regions
from edgecnn.tasks.table import TASKS, load
from edgecnn.training.network import inference_model
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.tasks.table import get_task


class EpochJudge:
    """Scores images of a cached part by the task's metric for epochs, in displayed pixels as anywhere.

    What a model answers is decoded and counted batch by batch, and nothing of it is kept but what the metric keeps.

    Args:
        model: that is trained, with the manifest's outputs among its own; its weights count as they are when asked.
        manifest: of the model, whose task has such a metric.
        part: the pixels, and where the images lie in them.
        targets: of the part, its class ids as the manifest counts them.
        positions: (M,) of the images to score, at least one.
        batch_size: images that the model takes at once.
    """

    def __init__(
        self,
        model: keras.Model,
        manifest: Manifest,
        *,
        part: CachedPart,
        targets: Targets,
        positions: npt.NDArray[np.int64],
        batch_size: int,
    ) -> None:
        self._model, self._manifest = KerasModel(inference_model(model, manifest), manifest), manifest
        self._part, self._targets, self._batch_size = part, targets, batch_size
        self._positions = np.sort(positions)  # as they lie on the disk

    def __call__(self) -> dict[str, float]:
        """Returns the metric by its name."""
        manifest, task = self._manifest, get_task(self._manifest.task)
        metric = load(TASKS[manifest.task].epoch_metric or "")(manifest)
        same_classes = np.arange(manifest.num_classes)
        for start in range(0, len(self._positions), self._batch_size):
            chosen = self._positions[start : start + self._batch_size]
            outputs = self._model.run(with_regions(manifest, self._part.pixels[chosen]))
            results = task.decode(metric.manifest, outputs, [self._part.placements[index] for index in chosen])
            metric.update(results, self._targets.subset(chosen).truths(same_classes))
        return {metric.name: float(metric.value())}
