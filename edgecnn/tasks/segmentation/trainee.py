"""How a segmenter is taught: the class of every pixel."""

from typing import Any

import keras

from edgecnn.data.targets import IGNORE
from edgecnn.models.any_size import resized
from edgecnn.models.spec import ModelSpec
from edgecnn.tasks.segmentation.losses import CrossentropyAndDice
from edgecnn.training.config import TrainConfig
from edgecnn.training.trainee import Arrays, Size, Trainee
from edgecnn_runtime.manifest import Manifest


def trainee(model: keras.Model, spec: ModelSpec, manifest: Manifest, config: TrainConfig) -> Trainee:
    """Returns a segmenter with its loss; the mean IoU over the pixels of an epoch is watched.

    Args:
        model: from `build_model`.
        spec: its catalogue row.
        manifest: of the model.
        config: the options of the training.
    """
    del spec
    output = manifest.decoder.output
    if config.window is not None:
        model = resized(model, (None, None))  # learns from windows, and is scored on whole images
    classes = manifest.num_classes
    mean_iou = keras.metrics.IoU(
        classes, target_class_ids=range(classes), ignore_class=IGNORE, sparse_y_pred=False, name="mean_iou"
    )

    def encode(arrays: Arrays, image_size: Size) -> dict[str, Any]:
        del image_size
        return {output: arrays["masks"]}

    return Trainee(
        model,
        losses={output: CrossentropyAndDice()},
        loss_weights={output: 1.0},
        metrics={output: [mean_iou]},
        encode=encode,
        watched="mean_iou",
        window=config.window,
    )
