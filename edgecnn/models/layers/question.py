"""What a recurrent layer knows of a question when it has read the last word."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="edgecnn")
class LastWord(keras.layers.Layer):
    """Picks what a recurrent layer gave at each question's last word; zeros where there is no word.

    It is a product with a row that is 1 there, equal to the layer with a mask to the bit, and unlike that no loop in
    ONNX.
    """

    def call(self, states: Any, ids: Any) -> Any:
        """Returns (N, units).

        Args:
            states: (N, length, units), of each word and what follows it.
            ids: (N, length), 0 behind the last word and nowhere else.
        """
        is_word = ops.cast(ids != 0, self.compute_dtype)
        follows = ops.pad(is_word[:, 1:], ((0, 0), (0, 1)))  # whether another word comes
        last = is_word - follows
        return ops.squeeze(ops.matmul(last[:, None, :], states), axis=1)

    def compute_output_spec(self, states: keras.KerasTensor, ids: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the shape of one state."""
        del ids
        return keras.KerasTensor((states.shape[0], states.shape[2]), dtype=self.compute_dtype)
