"""Layers for questions: words that were read up to the last one, and many questions about one image at once."""

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


@keras.saving.register_keras_serializable(package="edgecnn")
class Together(keras.layers.Layer):
    """Makes rows of their own of the questions about each image: (N, K, length) to (N K, length)."""

    def call(self, ids: Any) -> Any:
        """Returns the rows, those of one image after each other."""
        return ops.reshape(ids, (-1, ids.shape[-1]))

    def compute_output_spec(self, ids: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the shape of the rows."""
        return keras.KerasTensor((None, ids.shape[-1]), dtype=ids.dtype)


@keras.saving.register_keras_serializable(package="edgecnn")
class Apart(keras.layers.Layer):
    """Undoes `Together`: (N K, units) to (N, K, units)."""

    def call(self, rows: Any, ids: Any) -> Any:
        """Returns the rows of each image.

        Args:
            rows: (N K, units).
            ids: (N, K, length), whose first axes they get.
        """
        shape = ops.shape(ids)
        return ops.reshape(rows, (-1, shape[1], rows.shape[-1]))

    def compute_output_spec(self, rows: keras.KerasTensor, ids: keras.KerasTensor) -> keras.KerasTensor:
        """Returns their shape."""
        return keras.KerasTensor((*ids.shape[:2], rows.shape[-1]), dtype=rows.dtype)
