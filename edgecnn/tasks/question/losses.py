"""The loss and the metric of many questions about each image, some of which have fewer than others."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="edgecnn")
class AnswerCrossentropy(keras.losses.Loss):
    """Cross-entropy, the mean over the questions of the batch; what was not asked takes no part."""

    def __init__(self, name: str = "answer_crossentropy") -> None:
        super().__init__(name=name)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of a batch, a scalar.

        Args:
            y_true: (N, K) class ids, below 0 where nothing was asked.
            y_pred: (N, K, answers) logits.
        """
        is_asked = ops.cast(y_true >= 0, "float32")
        each = ops.sparse_categorical_crossentropy(
            ops.maximum(y_true, 0), ops.cast(y_pred, "float32"), from_logits=True
        )
        return ops.divide_no_nan(ops.sum(is_asked * each), ops.sum(is_asked))

    def get_config(self) -> dict[str, Any]:
        """Returns what the loss is made of."""
        return {"name": self.name}


@keras.saving.register_keras_serializable(package="edgecnn")
class AnsweredRight(keras.metrics.SparseCategoricalAccuracy):
    """The part of the questions whose likeliest answer is the true one."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Counts a batch, as `AnswerCrossentropy` takes it."""
        del sample_weight
        is_asked = ops.cast(y_true >= 0, "float32")
        return super().update_state(ops.maximum(y_true, 0), y_pred, is_asked)
