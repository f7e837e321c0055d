"""How a localizer is taught: the class and the box, by two heads on one feature vector."""

import keras

from edgecnn.models.spec import ModelSpec
from edgecnn.tasks.localization.losses import encode, loss_weights, losses, metrics
from edgecnn.training.config import TrainConfig
from edgecnn.training.trainee import Trainee
from edgecnn_runtime.manifest import Manifest


def trainee(model: keras.Model, spec: ModelSpec, manifest: Manifest, config: TrainConfig) -> Trainee:
    """Returns a localizer with its losses; the mean IoU is watched.

    Args:
        model: from `build_model`.
        spec: its catalogue row.
        manifest: of the model.
        config: the options of the training.
    """
    del spec, manifest
    return Trainee(model, losses(), loss_weights(config.class_weight), metrics(), encode, watched="mean_iou")
