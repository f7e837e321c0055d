"""Layers behind the head of a network of elsewhere: its scores, as the decoder of its task reads them."""

from typing import Any

import keras
from keras import ops

LEAST_SCORE = 1e-37  # a score below is taken as this one, so that its logarithm is a number


@keras.saving.register_keras_serializable(package="edgecnn")
class LogOfScores(keras.layers.Layer):
    """Turns the scores of a softmax into logits: the softmax of their logarithms is they themselves."""

    def call(self, scores: Any) -> Any:
        """Returns the logarithms, of scores (..., classes) that are 0 to 1 and sum to 1."""
        return ops.log(ops.maximum(scores, LEAST_SCORE))

    def compute_output_spec(self, scores: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the input's shape."""
        return keras.KerasTensor(scores.shape, dtype=self.compute_dtype)


@keras.saving.register_keras_serializable(package="edgecnn")
class BothClasses(keras.layers.Layer):
    """Turns the score of one class of two into both: (..., 1) of p becomes (..., 2) of 1 - p and p."""

    def call(self, score: Any) -> Any:
        """Returns both scores."""
        return ops.concatenate([1.0 - score, score], axis=-1)

    def compute_output_spec(self, score: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the input's shape with two units."""
        return keras.KerasTensor((*score.shape[:-1], 2), dtype=self.compute_dtype)
