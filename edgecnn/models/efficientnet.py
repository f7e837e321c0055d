"""EfficientNet-B0: the layers, names and settings of `keras.applications`, whose ImageNet weights fit.

Keras normalises in three layers: a division by 255, a Normalization whose weights are ImageNet's means and deviations,
where variances are meant, and with ImageNet's weights a division by the root of those deviations. Together they are a
subtraction and a division by constants, which one layer without weights does here.

Reference:
    Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks".
"""

from dataclasses import dataclass
from functools import partial

import keras
from keras import layers

from edgecnn.models.layers import (
    ResidualParts,
    image_input,
    inverted_residual,
    padded_as_same,
    scaled_to_eights,
    standardized,
)

_SWISH = "swish"
_DROPPED = 0.2  # before the logits, and of the last residual; of the others in proportion to their depth
_CONVOLUTION = {  # a description: layers that share one initializer begin with the same numbers
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "truncated_normal"},
}
_PARTS = ResidualParts(
    expand="expand_conv",
    expand_bn="expand_bn",
    expand_activation="expand_activation",
    pad="dwconv_pad",
    depthwise="dwconv",
    depthwise_bn="bn",
    depthwise_activation="activation",
    project="project_conv",
    project_bn="project_bn",
    momentum=0.99,
    initializer=_CONVOLUTION,
)


@dataclass(frozen=True, slots=True)
class _Stage:
    """A row of the paper's table 1.

    Attributes:
        filters: of the projections.
        repeats: number of blocks; the first one has the stride.
        kernel_size: of the depthwise convolutions.
        stride: of the first of them.
        expansion: how many times the channels of its input a block expands to.
    """

    filters: int
    repeats: int
    kernel_size: int
    stride: int
    expansion: int = 6


_STAGES = (
    _Stage(16, 1, 3, 1, expansion=1),
    _Stage(24, 2, 3, 2),
    _Stage(40, 2, 5, 2),
    _Stage(80, 3, 3, 2),
    _Stage(112, 3, 5, 1),
    _Stage(192, 4, 5, 2),
    _Stage(320, 1, 3, 1),
)


def efficientnet_b0(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds sixteen inverted residuals with squeeze-and-excitation and swish.

    At 224x224x3 and 1000 classes: 4,049,564 parameters before the head, 42,016 of which are moving statistics, logits
    1,281,000; 5,330,564 parameters. Keras counts 5,330,571, for its normalisation holds seven constants as weights.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 3.
        num_classes: number of logits.
        width: multiplier on filters, the paper's coefficient of width alone: they are rounded to multiples of 8, and
            never by more than a tenth down. Keras' weights for 1.0 fit.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, num_classes).

    Reference:
        Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", table 1.
    """
    image = image_input(image_size, channels)
    x = standardized(image)
    x = layers.ZeroPadding2D(padded_as_same(x, 3), name="stem_conv_pad")(x)
    x = layers.Conv2D(
        scaled_to_eights(32, width),
        3,
        strides=2,
        use_bias=False,
        kernel_initializer=_CONVOLUTION,
        name="stem_conv",
    )(x)
    x = layers.Activation(_SWISH, name="stem_activation")(_PARTS.normalized(x, "stem_bn"))
    blocks = [(number, repeat, stage) for number, stage in enumerate(_STAGES, 1) for repeat in range(stage.repeats)]
    for position, (number, repeat, stage) in enumerate(blocks):
        prefix, filters = f"block{number}{'abcd'[repeat]}_", x.shape[-1]
        x = inverted_residual(
            x,
            scaled_to_eights(stage.filters, width),
            expanded=filters * stage.expansion,
            kernel_size=stage.kernel_size,
            stride=1 if repeat else stage.stride,
            activation=_SWISH,
            parts=_PARTS,
            prefix=prefix,
            gate=partial(_gated, squeezed=filters // 4, prefix=f"{prefix}se_"),
            dropped=_DROPPED * position / len(blocks),
        )
    x = _PARTS.normalized(_PARTS.convolved(x, scaled_to_eights(1280, width), "top_conv"), "top_bn")
    x = layers.Activation(_SWISH, name="top_activation")(x)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (N, channels)
    x = layers.Dropout(_DROPPED, name="top_dropout")(x)
    uniform = keras.initializers.VarianceScaling(1 / 3, mode="fan_out", distribution="uniform")
    logits = layers.Dense(num_classes, kernel_initializer=uniform, name="logits")(x)
    return keras.Model(image, logits, name="efficientnet_b0")


def _gated(x: keras.KerasTensor, *, squeezed: int, prefix: str) -> keras.KerasTensor:
    """Returns x with each channel scaled by a gate from 0 to 1, a sigmoid of what all channels' means give."""
    gate = layers.GlobalAveragePooling2D(name=f"{prefix}squeeze")(x)
    gate = layers.Reshape((1, 1, x.shape[-1]), name=f"{prefix}reshape")(gate)
    for role, units, activation in (("reduce", squeezed, _SWISH), ("expand", x.shape[-1], "sigmoid")):
        gate = layers.Conv2D(
            units,
            1,
            padding="same",
            activation=activation,
            kernel_initializer=_CONVOLUTION,
            name=prefix + role,
        )(gate)
    return layers.Multiply(name=f"{prefix}excite")([x, gate])
