"""Poolings that Keras lacks: over channels, and with trained weights."""

import functools
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="edgecnn")
class DepthMaxPool(keras.layers.Layer):
    """Takes the maximum over groups of neighbouring channels, so that a layer can learn to ignore a transformation.

    The literature writes it in two forms with the same result: `tf.nn.max_pool` with a kernel and stride of `pool_size`
    along the channels, and a reshape to (..., channels / pool_size, pool_size) with a maximum over the last axis. Here
    it is the maximum of `pool_size` strided slices, which needs no shape and becomes the ONNX operators Slice and Max.

    Args:
        pool_size: number of channels in a group; it must divide the number of channels.

    Reference:
        Geron 2019, "Hands-On Machine Learning with Scikit-Learn, Keras, and TensorFlow", chapter 14.
    """

    def __init__(self, pool_size: int = 2, **options: Any) -> None:
        super().__init__(**options)
        if pool_size < 1:
            raise ValueError(f"DepthMaxPool: expected a pool_size of at least 1, received {pool_size}")
        self.pool_size = pool_size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Checks that the groups are whole.

        Raises:
            ValueError: pool_size does not divide the number of channels.
        """
        if input_shape[-1] is None or input_shape[-1] % self.pool_size:
            raise ValueError(
                f"DepthMaxPool: expected a number of channels that {self.pool_size} divides, received {input_shape[-1]}"
            )

    def call(self, x: Any) -> Any:
        """Returns (..., channels / pool_size).

        Args:
            x: (..., channels).
        """
        return functools.reduce(ops.maximum, (x[..., first :: self.pool_size] for first in range(self.pool_size)))

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {**super().get_config(), "pool_size": self.pool_size}


@keras.saving.register_keras_serializable(package="edgecnn")
class TrainableAveragePooling(keras.layers.Layer):
    """Averages windows that do not overlap, then scales and shifts each map by a trained coefficient and bias.

    Fresh weights leave the plain average: coefficient 1, bias 0.

    Args:
        pool_size: height and width of a window, in cells; a rest at the right and bottom is dropped.

    Reference:
        LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", layers S2 and S4.
    """

    def __init__(self, pool_size: int = 2, **options: Any) -> None:
        super().__init__(**options)
        self.pool_size = pool_size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes one coefficient and one bias a map."""
        maps = input_shape[-1]
        self.coefficient = self.add_weight(name="coefficient", shape=(maps,), initializer="ones")
        self.bias = self.add_weight(name="bias", shape=(maps,), initializer="zeros")

    def call(self, x: Any) -> Any:
        """Returns (N, height / pool_size, width / pool_size, maps).

        Args:
            x: (N, height, width, maps).
        """
        return ops.average_pool(x, self.pool_size) * self.coefficient + self.bias

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {**super().get_config(), "pool_size": self.pool_size}
