"""Transposed convolutions that begin as bilinear interpolation, and the unit that adds a finer map's scores."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops


@keras.saving.register_keras_serializable(package="edgecnn")
class BilinearUp(keras.initializers.Initializer):
    """Lets a transposed convolution begin as a bilinear enlargement of each channel by itself.

    The kernel is of 2 s x 2 s cells for a stride of s: a tent over each input cell, as high as 1 at its middle. With
    "same" padding the middles of cells stay where they are, as in a resize of images; near the border, the tent of what
    is outside is missing, so the values fall off towards 0.

    Reference:
        Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation", section 3.3.
    """

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        """Returns the kernel.

        Args:
            shape: (rows, columns, channels, channels), rows and columns even.
            dtype: of the kernel; float32 by default.

        Raises:
            ValueError: the kernel has an odd number of rows or columns, or gives other channels than it reads.
        """
        rows, columns, made, read = shape
        if rows % 2 or columns % 2 or made != read:
            raise ValueError(
                f"BilinearUp: expected a shape (rows, columns, channels, channels), rows and columns even, received "
                f"{tuple(shape)}"
            )
        kernel = np.zeros(shape)
        kernel[:, :, range(made), range(read)] = np.outer(_tent(rows), _tent(columns))[..., np.newaxis]
        return ops.convert_to_tensor(kernel, dtype or "float32")


def _tent(size: int) -> npt.NDArray[np.float64]:
    """Returns weights that rise to the middle and fall again, symmetric, all steps alike."""
    tent: npt.NDArray[np.float64] = 1 - np.abs(np.arange(size) - (size - 1) / 2) / (size / 2)
    return tent


def upsampled(x: keras.KerasTensor, factor: int, *, name: str) -> keras.KerasTensor:
    """Returns a map of `factor` times the height and width, at first by bilinear interpolation.

    Args:
        x: (N, height, width, channels) float.
        factor: even.
        name: of the layer, a transposed convolution without bias, as the reference networks have it.
    """
    return layers.Conv2DTranspose(
        x.shape[-1],
        2 * factor,
        strides=factor,
        padding="same",
        use_bias=False,
        kernel_initializer=BilinearUp(),
        name=name,
    )(x)


def scored(x: keras.KerasTensor, num_classes: int, *, name: str) -> keras.KerasTensor:
    """Returns one score a cell and class, all 0 at first: a 1x1 convolution.

    Args:
        x: (N, height, width, channels) float.
        num_classes: number of scores.
        name: of the layer.

    Reference:
        Long, Shelhamer and Darrell 2015, section 4.3: random scores learned neither faster nor better.
    """
    return layers.Conv2D(num_classes, 1, kernel_initializer="zeros", name=name)(x)


def skip_upsampled(coarse: keras.KerasTensor, fine: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Returns the scores of a coarse map at twice the height and width, and those of a finer map added to them.

    Args:
        coarse: (N, height, width, classes) float, scores.
        fine: (N, 2 height, 2 width, channels) float, features.
        name: prefix of the layers' names, "<name>_up" and "<name>_score"; the last layer is named `name`.

    Returns:
        (N, 2 height, 2 width, classes).

    Reference:
        Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation", section 4.2.
    """
    finer = upsampled(coarse, 2, name=f"{name}_up")
    return layers.Add(name=name)([finer, scored(fine, coarse.shape[-1], name=f"{name}_score")])
