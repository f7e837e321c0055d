"""MobileNetV3, small and large: the layers, names and settings of `keras.applications`, whose weights fit.

Keras leaves activations unnamed and makes its gates of sums and products that are no layers; here each has a name. Its
head is two 1x1 convolutions over one cell, "conv_2" and "logits"; here they are dense layers of the same weights.

Reference:
    Howard et al. 2019, "Searching for MobileNetV3".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import keras
from keras import layers

from edgecnn.models.layers import (
    ResidualParts,
    image_input,
    inverted_residual,
    scaled_around_zero,
    scaled_to_eights,
)

_STEM = 16  # filters of the first convolution, at any width
_PARTS = ResidualParts(
    expand="expand",
    expand_bn="expand_bn",
    expand_activation="expand_activation",
    pad="depthwise_pad",
    depthwise="depthwise",
    depthwise_bn="depthwise_bn",
    depthwise_activation="depthwise_activation",
    project="project",
    project_bn="project_bn",
    momentum=0.999,
    initializer="glorot_uniform",
)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the paper's tables.

    Attributes:
        filters: of the projection.
        expanded: of the expansion, at the published width.
        kernel_size: of the depthwise convolution.
        activation: of the block.
        gated: whether it has a squeeze-and-excitation.
        stride: of the depthwise convolution.
    """

    filters: int
    expanded: int
    kernel_size: int
    activation: str
    gated: bool = False
    stride: int = 1


_RELU, _SWISH = "relu", "hard_swish"
_SMALL = (  # table 2
    _Row(16, 16, 3, _RELU, gated=True, stride=2),
    _Row(24, 72, 3, _RELU, stride=2),
    _Row(24, 88, 3, _RELU),
    _Row(40, 96, 5, _SWISH, gated=True, stride=2),
    _Row(40, 240, 5, _SWISH, gated=True),
    _Row(40, 240, 5, _SWISH, gated=True),
    _Row(48, 120, 5, _SWISH, gated=True),
    _Row(48, 144, 5, _SWISH, gated=True),
    _Row(96, 288, 5, _SWISH, gated=True, stride=2),
    _Row(96, 576, 5, _SWISH, gated=True),
    _Row(96, 576, 5, _SWISH, gated=True),
)
_LARGE = (  # table 1
    _Row(16, 16, 3, _RELU),
    _Row(24, 64, 3, _RELU, stride=2),
    _Row(24, 72, 3, _RELU),
    _Row(40, 72, 5, _RELU, gated=True, stride=2),
    _Row(40, 120, 5, _RELU, gated=True),
    _Row(40, 120, 5, _RELU, gated=True),
    _Row(80, 240, 3, _SWISH, stride=2),
    _Row(80, 200, 3, _SWISH),
    _Row(80, 184, 3, _SWISH),
    _Row(80, 184, 3, _SWISH),
    _Row(112, 480, 3, _SWISH, gated=True),
    _Row(112, 672, 3, _SWISH, gated=True),
    _Row(160, 672, 5, _SWISH, gated=True, stride=2),
    _Row(160, 960, 5, _SWISH, gated=True),
    _Row(160, 960, 5, _SWISH, gated=True),
)


def mobilenet_v3_small(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds eleven inverted residuals, nine of them with squeeze-and-excitation, and hard swish in the last eight.

    At 224x224x3 and 1000 classes: 939,120 parameters before the head, 12,112 of which are moving statistics, 590,848 in
    the dense layer of 1,024, logits 1,025,000; 2,554,968 parameters.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 3.
        num_classes: number of logits.
        width: multiplier on filters, Keras' `alpha`: they are rounded to multiples of 8, the first convolution has 16
            at any width, and the dense layer grows above a width of 1 alone. Keras' weights for 1.0 fit.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, num_classes).

    Reference:
        Howard et al. 2019, "Searching for MobileNetV3", table 2.
    """
    image = image_input(image_size, channels)
    return _classifier(image, _SMALL, units=1024, num_classes=num_classes, width=width, name="mobilenet_v3_small")


def mobilenet_v3_large(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds fifteen inverted residuals, eight of them with squeeze-and-excitation, and hard swish in the last nine.

    At 224x224x3 and 1000 classes: 2,996,352 parameters before the head, 24,400 of which are moving statistics,
    1,230,080 in the dense layer of 1,280, logits 1,281,000; 5,507,432 parameters.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 3.
        num_classes: number of logits.
        width: as of `mobilenet_v3_small`.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, num_classes).

    Reference:
        Howard et al. 2019, "Searching for MobileNetV3", table 1.
    """
    image = image_input(image_size, channels)
    return _classifier(image, _LARGE, units=1280, num_classes=num_classes, width=width, name="mobilenet_v3_large")


def _classifier(
    image: keras.KerasTensor, rows: Sequence[_Row], *, units: int, num_classes: int, width: float, name: str
) -> keras.Model:
    x = layers.Conv2D(_STEM, 3, strides=2, padding="same", use_bias=False, name="conv")(scaled_around_zero(image))
    x = layers.Activation(_SWISH, name="conv_activation")(_PARTS.normalized(x, "conv_bn"))
    published = _STEM
    for number, row in enumerate(rows):
        prefix = f"expanded_conv_{number}_" if number else "expanded_conv_"
        x = inverted_residual(
            x,
            scaled_to_eights(row.filters, width),
            expanded=scaled_to_eights(x.shape[-1], row.expanded / published),
            kernel_size=row.kernel_size,
            stride=row.stride,
            activation=row.activation,
            parts=_PARTS,
            prefix=prefix,
            gate=partial(_gated, prefix=f"{prefix}squeeze_excite_") if row.gated else None,
        )
        published = row.filters
    x = _PARTS.normalized(_PARTS.convolved(x, scaled_to_eights(x.shape[-1], 6), "conv_1"), "conv_1_bn")
    x = layers.Activation(_SWISH, name="conv_1_activation")(x)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (N, channels)
    x = layers.Dense(scaled_to_eights(units, max(1.0, width)), name="conv_2")(x)
    x = layers.Activation(_SWISH, name="conv_2_activation")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    return keras.Model(image, layers.Dense(num_classes, name="logits")(x), name=name)


def _gated(x: keras.KerasTensor, *, prefix: str) -> keras.KerasTensor:
    """Returns x with each channel scaled by a gate from 0 to 1, a hard sigmoid of what all channels' means give."""
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}avg_pool")(x)  # (N, 1, 1, channels)
    gate = layers.Conv2D(scaled_to_eights(x.shape[-1], 0.25), 1, padding="same", name=f"{prefix}conv")(gate)
    gate = layers.Activation("relu", name=f"{prefix}relu")(gate)
    gate = layers.Conv2D(x.shape[-1], 1, padding="same", name=f"{prefix}conv_1")(gate)
    gate = layers.Activation("hard_sigmoid", name=f"{prefix}gate")(gate)
    return layers.Multiply(name=f"{prefix}mul")([x, gate])
