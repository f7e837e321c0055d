"""How a detector is taught: every scale its boxes, or its proposals and regions, by the anchors of its manifest."""

from typing import cast

import keras
import tensorflow as tf

from edgecnn.models import faster_rcnn, rcnn
from edgecnn.models.any_size import resized
from edgecnn.models.backbone import backbone_layers
from edgecnn.models.spec import ModelSpec
from edgecnn.tasks.detection.losses import OwnCost, OwnNumber, PartOfLoss, SharedIoU, YoloLoss
from edgecnn.tasks.detection.outputs import input_sizes
from edgecnn.tasks.detection.targets import encoder
from edgecnn.training.config import TrainConfig
from edgecnn.training.trainee import Arrays, Size, Trainee
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


def regions_trainee(model: keras.Model, spec: ModelSpec, manifest: Manifest, config: TrainConfig) -> Trainee:
    """Returns a detector of proposed regions with what both halves cost, trained at once (approximate joint training).

    The part of the objects that a proposed region reaches is watched while it learns. Where the backbone comes with
    weights its batch normalisations stay as they are: the few images of a batch would give other statistics.

    Args:
        model: from `build_model`.
        spec: its catalogue row.
        manifest: of the model, with the anchors.
        config: the options of the training.

    Reference: Ren et al. 2015, "Faster R-CNN", section 3.2; He et al. 2015, "Deep Residual Learning", appendix A.
    """
    _keep_statistics(model, spec, config)
    return Trainee(
        faster_rcnn.that_learns(model, manifest.num_classes),
        losses={"proposing": OwnCost(), "deciding": OwnCost()},
        loss_weights={"proposing": 1.0, "deciding": 1.0},
        metrics={
            "proposing": [OwnNumber(2, name="recall"), OwnNumber(0, name="objectness"), OwnNumber(1, name="moving")],
            "deciding": _of_deciding(),
        },
        encode=_nothing,
        watched="recall",
        shown_outputs=("proposing", "deciding"),
    )


def given_regions_trainee(model: keras.Model, spec: ModelSpec, manifest: Manifest, config: TrainConfig) -> Trainee:
    """Returns a detector that classifies the regions it is given; how many it classifies right is watched.

    Batch normalisations stay as they are where the backbone comes with weights, as in `regions_trainee`.

    Args:
        model: from `build_model`.
        spec: its catalogue row.
        manifest: of the model.
        config: the options of the training.
    """
    _keep_statistics(model, spec, config)
    return Trainee(
        rcnn.that_learns(model, manifest.num_classes),
        losses={"deciding": OwnCost()},
        loss_weights={"deciding": 1.0},
        metrics={"deciding": _of_deciding()},
        encode=_nothing_to_decide,
        watched="right",
        shown_outputs=("deciding",),
    )


def _keep_statistics(model: keras.Model, spec: ModelSpec, config: TrainConfig) -> None:
    if config.weights != "none":
        for layer in backbone_layers(model, spec):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False


def _of_deciding() -> list[OwnNumber]:
    return [OwnNumber(0, name="class"), OwnNumber(1, name="box"), OwnNumber(2, name="right")]


def _nothing_to_decide(arrays: Arrays, image_size: Size) -> dict[str, tf.Tensor]:
    return {"deciding": _nothing(arrays, image_size)["deciding"]}


def _nothing(arrays: Arrays, image_size: Size) -> dict[str, tf.Tensor]:
    """Returns nothing to compare the outputs with: they are costs already."""
    del image_size
    nothing = tf.zeros(tf.shape(arrays["boxes"])[:1])
    return {"proposing": nothing, "deciding": nothing}
