"""Several rows for one image: brought together, so that dense layers see rows alone, and apart again."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="edgecnn")
class Together(keras.layers.Layer):
    """Makes rows of their own of what each image has several of, as questions and regions: (N, K, n) to (N K, n)."""

    def call(self, several: Any) -> Any:
        """Returns the rows, those of one image after each other."""
        return ops.reshape(several, (-1, several.shape[-1]))

    def compute_output_spec(self, several: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the shape of the rows."""
        return keras.KerasTensor((None, several.shape[-1]), dtype=several.dtype)


@keras.saving.register_keras_serializable(package="edgecnn")
class Apart(keras.layers.Layer):
    """Undoes `Together`: (N K, units) to (N, K, units)."""

    def call(self, rows: Any, several: Any) -> Any:
        """Returns the rows of each image.

        Args:
            rows: (N K, units).
            several: (N, K, n), whose first axes they get.
        """
        shape = ops.shape(several)
        return ops.reshape(rows, (-1, shape[1], rows.shape[-1]))

    def compute_output_spec(self, rows: keras.KerasTensor, several: keras.KerasTensor) -> keras.KerasTensor:
        """Returns their shape."""
        return keras.KerasTensor((*several.shape[:2], rows.shape[-1]), dtype=rows.dtype)
