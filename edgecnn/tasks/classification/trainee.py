"""How classifiers are taught: loss and accuracy that fit their decoder, and GoogLeNet's auxiliary classifiers."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from edgecnn.models.googlenet import auxiliary_logits
from edgecnn.models.spec import ModelSpec
from edgecnn.tasks.classification.losses import DistanceCrossentropy, NearestAccuracy
from edgecnn.training.config import TrainConfig
from edgecnn.training.trainee import Trainee
from edgecnn_runtime.manifest import Manifest

_AUXILIARY_WEIGHT = 0.3  # Szegedy et al. 2014, section 5


def trainee(model: keras.Model, spec: ModelSpec, manifest: Manifest, config: TrainConfig) -> Trainee:
    """Returns a classifier with its cross-entropy and its accuracy.

    Args:
        model: from `build_model` or `build_transfer_model`.
        spec: its catalogue row.
        manifest: of the model.
        config: the options of the training.
    """
    del spec, config
    return _classifiers(model, manifest, {manifest.decoder.output: 1.0})


def googlenet_trainee(model: keras.Model, spec: ModelSpec, manifest: Manifest, config: TrainConfig) -> Trainee:
    """Returns the same with the paper's two auxiliary classifiers, on layers shared with the model.

    Where a backbone is kept there are none: they are to bring gradients into it.

    Args:
        model: as for `trainee`, like the others.
        spec: likewise.
        manifest: likewise.
        config: likewise.

    Reference:
        Szegedy et al. 2014, "Going Deeper with Convolutions", section 5.
    """
    if config.transfers:
        return trainee(model, spec, manifest, config)
    auxiliary = auxiliary_logits(model)
    trained = keras.Model(model.input, [model.output, *auxiliary.values()], name=f"{model.name}_training")
    weights = {manifest.decoder.output: 1.0, **dict.fromkeys(auxiliary, _AUXILIARY_WEIGHT)}
    return _classifiers(trained, manifest, weights)


def _classifiers(model: keras.Model, manifest: Manifest, weights: Mapping[str, float]) -> Trainee:
    """Teaches every output the class, and watches the one of the decoder."""
    if manifest.decoder.kind == "distance":
        loss, accuracy = DistanceCrossentropy(), NearestAccuracy(name="accuracy")
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")

    def encode(arrays: Mapping[str, tf.Tensor], image_size: tuple[int, int]) -> dict[str, Any]:
        del image_size
        return dict.fromkeys(weights, arrays["class_ids"])

    return Trainee(
        model,
        losses=dict.fromkeys(weights, loss),
        loss_weights=weights,
        metrics={manifest.decoder.output: (accuracy,)},
        encode=encode,
        watched="accuracy",
    )
