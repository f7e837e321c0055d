"""The input of every model, and the ways its pixels are normalised inside the graph."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from edgecnn_runtime.pixel_scaling import PIXEL_SCALINGS

_BGR_MEANS = PIXEL_SCALINGS["caffe"].mean
_TORCH = PIXEL_SCALINGS["torch"]


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


def standardized(image: keras.KerasTensor) -> keras.KerasTensor:
    """Returns RGB pixels less ImageNet's means, over its standard deviations, through the layer named "normalization".

    This is what `keras.applications` calls mode "torch". The constants are the layer's configuration, not weights.
    """
    return keras.layers.Normalization(
        mean=list(_TORCH.mean),
        variance=[deviation**2 for deviation in _TORCH.std],
        name="normalization",
    )(image)


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


@keras.saving.register_keras_serializable(package="edgecnn")
class ScaledPixels(keras.layers.Layer):
    """Turns pixels into the numbers that a network of elsewhere takes: (pixel - mean) / std, blue first where it is so.

    What `edgecnn_runtime.pixel_scaling.PixelScaling` says in numbers; one that changes nothing is a cast to float32.

    Args:
        mean: of pixels from 0 to 255: one number, or one a channel in the order that the network takes them in.
        std: likewise.
        bgr: whether the network takes blue first.
        options: of every Keras layer.
    """

    def __init__(
        self, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,), *, bgr: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.mean, self.std, self.bgr = tuple(mean), tuple(std), bgr

    def call(self, image: Any) -> Any:
        """Returns float32 (N, height, width, C).

        Args:
            image: (N, height, width, C), red first, 0 to 255.
        """
        x = ops.cast(ops.take(image, [2, 1, 0], axis=-1) if self.bgr else image, self.compute_dtype)
        if any(self.mean):
            x = x - ops.convert_to_tensor(self.mean, self.compute_dtype)
        if any(number != 1 for number in self.std):
            x = x / ops.convert_to_tensor(self.std, self.compute_dtype)
        return x

    def compute_output_spec(self, image: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the input's shape with this layer's dtype."""
        return keras.KerasTensor(image.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, object]:
        """Returns what makes the same again."""
        return {**super().get_config(), "mean": self.mean, "std": self.std, "bgr": self.bgr}
