"""Random changes to the images that training sees, between the cache and the network.

They are no part of the model: neither the saved one nor the exported one has them.
"""

from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

_MOST_DRAWS = 64  # more random draws than one layer makes for one batch
# Krizhevsky et al. 2012, section 4.1: patches of 227 pixels out of 256, so up to 14.5 pixels from the middle
_ALEXNET_SHIFT = (256 - 227) / 2 / 227
_ALEXNET_COLOR_STDDEV = 0.1


class Augmentation:
    """Changes batches of uint8 images at random; what it does to a batch follows from the seed and the step alone.

    Args:
        names: of `AUGMENTATIONS`, applied in this order, to each image on its own.
        colors: (C, C) float64, the axes that "alexnet" moves colours along; see `color_axes`.
    """

    def __init__(self, names: Sequence[str], colors: npt.NDArray[np.float64]) -> None:
        self._layers = [layer for name in names for layer in _LAYERS[name](colors)]

    def seeded(self, random: np.random.Generator) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Returns a function of a batch and of its number in the epoch, for use in a tf.data pipeline.

        It takes (N, height, width, C) uint8 and a scalar int64, and returns the images in the form in which they came,
        rounded, since that is what the model takes.

        Args:
            random: seeds the layers, once.
        """
        seeds = random.integers(2**31, size=len(self._layers))

        def augment(pixels: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
            x = tf.cast(pixels, tf.float32)
            for layer, layer_seed in zip(self._layers, seeds, strict=True):
                (state,) = layer.non_trainable_variables  # (seed, draws so far)
                state.assign(tf.stack([tf.constant(layer_seed, tf.int64), step * _MOST_DRAWS]))
                x = layer(x, training=True)
            x = tf.ensure_shape(x, pixels.shape)
            return tf.cast(tf.round(tf.clip_by_value(x, 0, 255)), tf.uint8)

        return augment


class ColorShift(keras.layers.Layer):
    """Adds to every pixel of an image one colour, normally distributed along given axes.

    Args:
        axes: (C, C) float64; a row is an axis, its length one standard deviation on a scale from 0 to 1.

    Reference:
        Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 4.1.
    """

    def __init__(self, axes: npt.NDArray[np.float64]) -> None:
        super().__init__()
        self.axes = axes
        self.generator = keras.random.SeedGenerator(0)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns images like `inputs`, (N, height, width, C) float32 from 0 to 255."""
        amounts = keras.random.normal((tf.shape(inputs)[0], len(self.axes)), seed=self.generator)
        colors = 255 * tf.matmul(amounts, tf.constant(self.axes, tf.float32))  # (N, C)
        return inputs + colors[:, tf.newaxis, tf.newaxis]


def color_axes(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Returns the axes that the paper lights images along: the principal components of the pixels' colours.

    The length of each is a tenth of its eigenvalue, of the covariance of colours from 0 to 1.

    Args:
        pixels: (N, height, width, C) uint8.

    Returns:
        (C, C) float64, one axis a row.

    Reference:
        Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 4.1.
    """
    channels, count = pixels.shape[-1], 0
    total, products = np.zeros(channels), np.zeros((channels, channels))
    for image in pixels:  # one at a time: float64 takes eight times the memory
        colors = image.reshape(-1, channels) / 255.0
        count, total, products = count + len(colors), total + colors.sum(axis=0), products + colors.T @ colors
    mean = total / count
    values, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    return np.asarray(_ALEXNET_COLOR_STDDEV * values[:, np.newaxis] * vectors.T, np.float64)


def _shift(factor: float) -> keras.layers.Layer:
    return keras.layers.RandomTranslation(factor, factor, fill_mode="nearest")


_LAYERS: Mapping[str, Callable[[npt.NDArray[np.float64]], list[keras.layers.Layer]]] = {
    "shift": lambda _: [_shift(0.1)],
    "flip": lambda _: [keras.layers.RandomFlip("horizontal")],
    "rotation": lambda _: [keras.layers.RandomRotation(0.05, fill_mode="nearest")],
    "contrast": lambda _: [keras.layers.RandomContrast(0.2, value_range=(0, 255))],
    "brightness": lambda _: [keras.layers.RandomBrightness(0.2, value_range=(0, 255))],
    "alexnet": lambda colors: [_shift(_ALEXNET_SHIFT), keras.layers.RandomFlip("horizontal"), ColorShift(colors)],
}
