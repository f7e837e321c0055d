"""Distances to fixed prototypes."""

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="edgecnn")
class RBF(keras.layers.Layer):
    """Gives the squared Euclidean distance to one fixed prototype a class: the smallest wins.

    The prototypes are weights that no training changes.

    Args:
        units: number of classes.
        prototypes: initializer of their shape (units, features); by default seeded signs.

    Reference:
        LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section II.B, equation 7.
    """

    def __init__(self, units: int, *, prototypes: keras.Initializer | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.initializer = keras.initializers.get(prototypes or RandomSigns())

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the prototypes (units, features)."""
        self.prototypes = self.add_weight(
            name="prototypes", shape=(self.units, input_shape[-1]), initializer=self.initializer, trainable=False
        )

    def call(self, x: Any) -> Any:
        """Returns the distances (N, units), at least 0.

        Args:
            x: (N, features).
        """
        differences = ops.expand_dims(x, 1) - self.prototypes  # (N, units, features)
        return ops.sum(ops.square(differences), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        prototypes = keras.initializers.serialize(self.initializer)
        return {**super().get_config(), "units": self.units, "prototypes": prototypes}


@keras.saving.register_keras_serializable(package="edgecnn")
class RandomSigns(keras.initializers.Initializer):
    """Draws +1 and -1 with equal chance; the same seed gives the same signs in every process.

    Args:
        seed: of the signs, independent of Keras' own.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        """Returns an array of +1 and -1."""
        signs = 2 * np.random.default_rng(self.seed).integers(0, 2, shape) - 1
        return ops.convert_to_tensor(signs, dtype or "float32")

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {"seed": self.seed}
