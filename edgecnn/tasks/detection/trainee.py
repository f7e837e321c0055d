"""How a detector is taught: every scale its boxes, by the anchors that its manifest holds."""

from typing import cast

import keras

from edgecnn.models.any_size import resized
from edgecnn.models.spec import ModelSpec
from edgecnn.tasks.detection.losses import PartOfLoss, SharedIoU, YoloLoss
from edgecnn.tasks.detection.outputs import input_sizes
from edgecnn.tasks.detection.targets import encoder
from edgecnn.training.config import TrainConfig
from edgecnn.training.trainee import Trainee
from edgecnn_runtime.decoders import YoloDecoder
from edgecnn_runtime.manifest import Manifest


def trainee(model: keras.Model, spec: ModelSpec, manifest: Manifest, config: TrainConfig) -> Trainee:
    """Returns a detector with its losses; their parts are shown, and the mean IoU of the objects' boxes is watched.

    Unlike the parts of the loss, sums that grow with the objects in an image, the IoU means the same whatever the data;
    and unlike an average precision it costs nothing beside the loss.

    Args:
        model: from `build_model`.
        spec: its catalogue row.
        manifest: of the model, with the anchors.
        config: the options of the training.
    """
    del spec
    scales, sizes = cast(YoloDecoder, manifest.decoder).scales, None
    if config.multi_scale is not None:
        model, sizes = resized(model, (None, None)), input_sizes(manifest, config.multi_scale)
    return Trainee(
        model,
        losses={scale.output: YoloLoss(scale) for scale in scales},
        loss_weights={scale.output: 1.0 for scale in scales},
        metrics={
            scale.output: [
                SharedIoU(scale),
                PartOfLoss(scale, "box"),
                PartOfLoss(scale, "objectness"),
                PartOfLoss(scale, "class"),
            ]
            for scale in scales
        },
        encode=encoder(scales),
        watched="mean_iou",
        sizes=sizes,
        summed=True,
    )
