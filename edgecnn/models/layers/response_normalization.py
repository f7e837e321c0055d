"""Normalisation of a response by its neighbours in depth."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="edgecnn")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each response by a power of the squares of its neighbours: x / (bias + alpha * sum(x^2)) ^ beta.

    The sum runs over the channel itself and `depth_radius` channels to each side. The defaults are the paper's (its n
    of 5 is a radius of 2, its k is `bias`). It becomes ONNX's LRN, which the exporter
    writes as a pool and square roots.

    Args:
        depth_radius: neighbours to each side, in channels.
        bias: added before the power; it keeps the quotient finite.
        alpha: factor on the sum of squares.
        beta: the power.

    Reference:
        Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 3.3.
    """

    def __init__(
        self, depth_radius: int = 2, *, bias: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, **options: Any
    ) -> None:
        super().__init__(**options)
        self.depth_radius = depth_radius
        self.bias = bias
        self.alpha = alpha
        self.beta = beta

    def call(self, x: Any) -> Any:
        """Returns the normalised responses, of the input's shape.

        Args:
            x: (N, height, width, channels) float.
        """
        return tf.nn.local_response_normalization(x, self.depth_radius, self.bias, self.alpha, self.beta)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        parameters = {"depth_radius": self.depth_radius, "bias": self.bias, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), **parameters}
