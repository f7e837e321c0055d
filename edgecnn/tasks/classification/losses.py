"""Losses and metrics of outputs that Keras has none for."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="edgecnn")
class DistanceCrossentropy(keras.losses.Loss):
    """Cross-entropy over the softmax of negative distances: the nearest prototype is the likeliest class.

    Reference:
        LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section II.C: equation 9, without
        its constant j.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns a loss an image, (N,), from class ids (N,) and distances (N, classes)."""
        return keras.losses.sparse_categorical_crossentropy(y_true, -y_pred, from_logits=True)


@keras.saving.register_keras_serializable(package="edgecnn")
class NearestAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """The part of the images whose nearest prototype is their class's."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Counts a batch of class ids (N,) and distances (N, classes)."""
        return super().update_state(y_true, -y_pred, sample_weight)
