"""The input of every model, and the ways its pixels are normalised inside the graph."""

from typing import Any

import keras
from keras import ops

from edgecnn_runtime.pixel_scaling import PIXEL_SCALINGS

_BGR_MEANS = PIXEL_SCALINGS["caffe"].mean


def image_input(image_size: tuple[int, int], channels: int) -> keras.KerasTensor:
    """Returns the input of every builder: raw pixels, so that normalisation is part of the model.

    Args:
        image_size: (height, width) in pixels.
        channels: 1 or 3.

    Returns:
        A uint8 tensor named "image" of shape (N, height, width, channels), values 0 to 255.
    """
    return keras.Input((*image_size, channels), dtype="uint8", name="image")


def scaled_to_one(image: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the pixels as float32 from 0 to 1, through the layer named "normalization"."""
    return keras.layers.Rescaling(1 / 255, name="normalization")(image)


def scaled_around_zero(image: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the pixels as float32 from -1 to 1, through the layer named "normalization".

    This is what `keras.applications` calls mode "tf".
    """
    return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="normalization")(image)


@keras.saving.register_keras_serializable(package="edgecnn")
class BGRMeans(keras.layers.Layer):
    """Turns RGB pixels into BGR and subtracts ImageNet's mean of each channel; the scale stays 0 to 255.

    This is what `keras.applications` calls mode "caffe", as VGG and ResNet-50 expect it. It holds no weights, so a
    model keeps its published number of parameters.
    """

    def call(self, image: Any) -> Any:
        """Returns float32 (N, height, width, 3), blue first.

        Args:
            image: (N, height, width, 3), red first, 0 to 255.
        """
        reversed_channels = ops.take(image, [2, 1, 0], axis=-1)
        return ops.cast(reversed_channels, self.compute_dtype) - ops.convert_to_tensor(_BGR_MEANS, self.compute_dtype)

    def compute_output_spec(self, image: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the input's shape with this layer's dtype."""
        return keras.KerasTensor(image.shape, dtype=self.compute_dtype)
