"""Residual units. They are functions, not layers: their parts keep their names and stand in the layer table."""

from functools import partial

import keras
from keras import layers

from edgecnn.models.layers.squeeze_excite import squeeze_excite

_convolution = partial(layers.Conv2D, padding="same", use_bias=False, kernel_initializer="he_normal")


def residual_unit(x: keras.KerasTensor, filters: int, *, stride: int = 1, name: str) -> keras.KerasTensor:
    """Returns ReLU(x + two 3x3 convolutions of x); a 1x1 convolution projects x where its shape changes.

    Args:
        x: (N, height, width, channels) float.
        filters: number of output channels.
        stride: of the first convolution and of the projection.
        name: prefix of the layers' names; the last layer is named "<name>_out".

    Returns:
        (N, height / stride, width / stride, filters).

    Reference:
        He et al. 2015, "Deep Residual Learning for Image Recognition", figure 5 left and section 3.3 option B.
    """
    shortcut = _shortcut(x, filters, stride, name)
    x = _convolved(x, filters, 3, stride=stride, name=f"{name}_1")
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = _convolved(x, filters, 3, name=f"{name}_2")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def bottleneck_unit(
    x: keras.KerasTensor, filters: int, *, stride: int = 1, squeeze_ratio: int | None = None, name: str
) -> keras.KerasTensor:
    """Returns ReLU(x + 1x1, 3x3 and 1x1 convolutions of x); a 1x1 convolution projects x where its shape changes.

    Args:
        x: (N, height, width, channels) float.
        filters: number of channels of the first two convolutions; the last has four times as many.
        stride: of the first convolution and of the projection, as in the paper.
        squeeze_ratio: reduction of a squeeze-and-excitation before the sum, where its paper puts it; None for none.
        name: prefix of the layers' names; the last layer is named "<name>_out".

    Returns:
        (N, height / stride, width / stride, 4 * filters).

    Reference:
        He et al. 2015, "Deep Residual Learning for Image Recognition", figure 5 right; Hu et al. 2017,
        "Squeeze-and-Excitation Networks", figure 3.
    """
    shortcut = _shortcut(x, 4 * filters, stride, name)
    x = _convolved(x, filters, 1, stride=stride, name=f"{name}_1")
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = _convolved(x, filters, 3, name=f"{name}_2")
    x = layers.ReLU(name=f"{name}_2_relu")(x)
    x = _convolved(x, 4 * filters, 1, name=f"{name}_3")
    if squeeze_ratio is not None:
        x = squeeze_excite(x, squeeze_ratio, name=name)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def _shortcut(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    if stride == 1 and x.shape[-1] == filters:
        return x
    return _convolved(x, filters, 1, stride=stride, name=f"{name}_0")


def _convolved(x: keras.KerasTensor, filters: int, size: int, *, stride: int = 1, name: str) -> keras.KerasTensor:
    x = _convolution(filters, size, strides=stride, name=f"{name}_conv")(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)
