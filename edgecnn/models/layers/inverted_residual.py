"""The inverted residual with a depthwise convolution, which the networks for small devices are made of.

It is a function, not a layer: its parts keep their names and stand in the layer table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers


@dataclass(frozen=True, slots=True)
class ResidualParts:
    """What a family calls the layers of its inverted residuals, and how it begins them; each name follows a prefix.

    Attributes:
        expand: of the first 1x1 convolution; its normalisation is "<expand_bn>", and so on.
        expand_bn: of its normalisation.
        expand_activation: of its activation.
        pad: of the zeros before a depthwise convolution of stride 2.
        depthwise: of the depthwise convolution.
        depthwise_bn: of its normalisation.
        depthwise_activation: of its activation.
        project: of the last 1x1 convolution.
        project_bn: of its normalisation.
        momentum: of the moving statistics.
        initializer: of the convolutions' weights, by name or as Keras' description; each has one of its own.
    """

    expand: str
    expand_bn: str
    expand_activation: str
    pad: str
    depthwise: str
    depthwise_bn: str
    depthwise_activation: str
    project: str
    project_bn: str
    momentum: float
    initializer: str | dict[str, Any]

    def normalized(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns x through a batch normalisation."""
        return layers.BatchNormalization(momentum=self.momentum, name=name)(x)

    def convolved(self, x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
        """Returns x through a 1x1 convolution without a bias."""
        pointwise = layers.Conv2D(
            filters, 1, padding="same", use_bias=False, kernel_initializer=self.initializer, name=name
        )
        return pointwise(x)


def inverted_residual(
    x: keras.KerasTensor,
    filters: int,
    *,
    expanded: int,
    kernel_size: int,
    stride: int,
    activation: str,
    parts: ResidualParts,
    prefix: str,
    gate: Callable[[keras.KerasTensor], keras.KerasTensor] | None = None,
    dropped: float = 0.0,
) -> keras.KerasTensor:
    """Returns x after an expansion, a depthwise convolution and a linear projection, added to x where the shapes agree.

    Zeros before a depthwise convolution of stride 2 are those of "same" padding; they stand in a layer of their own, so
    that the list of layers has Keras' positions.

    Args:
        x: (N, height, width, channels) float.
        filters: of the projection.
        expanded: of the expansion; none where x has as many channels.
        kernel_size: of the depthwise convolution.
        stride: likewise, 1 or 2.
        activation: after the expansion and after the depthwise convolution; the projection has none.
        parts: the layers' names and settings.
        prefix: of the layers' names; the sum is named "<prefix>add".
        gate: what comes between the depthwise convolution and the projection, for example a squeeze-and-excitation.
        dropped: probability that training leaves all of the residual out, of one image; the layer is "<prefix>drop".

    Returns:
        (N, height / stride, width / stride, filters) float, sizes rounded up.

    Reference:
        Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", section 3.3.
    """
    before = x
    if expanded != x.shape[-1]:
        x = parts.normalized(parts.convolved(x, expanded, prefix + parts.expand), prefix + parts.expand_bn)
        x = layers.Activation(activation, name=prefix + parts.expand_activation)(x)
    if stride == 2:
        x = layers.ZeroPadding2D(padded_as_same(x, kernel_size), name=prefix + parts.pad)(x)
    x = layers.DepthwiseConv2D(
        kernel_size,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        depthwise_initializer=parts.initializer,
        name=prefix + parts.depthwise,
    )(x)
    x = layers.Activation(activation, name=prefix + parts.depthwise_activation)(
        parts.normalized(x, prefix + parts.depthwise_bn)
    )
    x = x if gate is None else gate(x)
    x = parts.normalized(parts.convolved(x, filters, prefix + parts.project), prefix + parts.project_bn)
    if stride == 2 or filters != before.shape[-1]:
        return x
    if dropped:
        x = layers.Dropout(dropped, noise_shape=(None, 1, 1, 1), name=f"{prefix}drop")(x)
    return layers.Add(name=f"{prefix}add")([before, x])


def padded_as_same(x: keras.KerasTensor, kernel_size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns the rows and columns of zeros that "same" padding puts around a map at stride 2, before and behind.

    >>> padded_as_same(keras.KerasTensor((None, 8, 7, 1)), 5)
    ((1, 2), (2, 2))
    """
    behind = kernel_size // 2
    rows, columns = ((behind - 1 + size % 2, behind) for size in x.shape[1:3])
    return rows, columns
