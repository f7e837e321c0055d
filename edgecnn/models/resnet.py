"""Residual networks: ResNet-34, ResNet-50 on `keras.applications`, and SE-ResNet-50.

References:
    He et al. 2015, "Deep Residual Learning for Image Recognition"; Hu et al. 2017, "Squeeze-and-Excitation Networks".
"""

import keras
from keras import layers

from edgecnn.models.applications import application_features
from edgecnn.models.layers import (
    BGRMeans,
    bottleneck_unit,
    image_input,
    residual_unit,
    scaled_to_one,
    scaled_units,
)

_UNITS = (3, 4, 6, 3)  # in each stage; the paper's table 1, the same for 34 and 50 layers
_FILTERS = (64, 128, 256, 512)


def resnet34(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds sixteen units of two 3x3 convolutions in four stages, without bias, He-normal.

    At 224x224x3 and 1000 classes: stem 9,664, stages 222,720, 1,118,720, 6,829,056 and 13,121,536, logits 513,000;
    21,814,696 parameters, 21,797,672 of them trained. The stem divides the image size by 4 and the stages by 8: a
    32x32 image ends as a 1x1 map, so small images are better enlarged than the published stem changed.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 1 or 3.
        num_classes: number of logits.
        width: multiplier on filters; 1.0 is the published model.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "logits", float32 (N, num_classes).

    Reference:
        He et al. 2015, "Deep Residual Learning for Image Recognition", table 1.
    """
    image = image_input(image_size, channels)
    return _classifier(image, resnet34_map(image, width), num_classes=num_classes, name="resnet34")


def resnet34_map(image: keras.KerasTensor, width: float, *, stages: int = len(_UNITS)) -> keras.KerasTensor:
    """Returns the map that ResNet-34's first stages give, through the normalisation of its pixels.

    Args:
        image: (N, height, width, channels) uint8.
        width: multiplier on filters.
        stages: 1 to 4; the second and each later one halves the map.

    Returns:
        (N, height / 2 ** (stages + 1), width / 2 ** (stages + 1), channels), of the layer
        "conv<stages + 1>_block<n>_out".
    """
    x = _stem(scaled_to_one(image), width)
    for stage, (units, filters) in enumerate(zip(_UNITS[:stages], _FILTERS[:stages], strict=True), start=2):
        for unit in range(1, units + 1):
            stride = 2 if unit == 1 and stage > 2 else 1
            x = residual_unit(x, scaled_units(filters, width), stride=stride, name=f"conv{stage}_block{unit}")
    return x


def resnet50(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds sixteen bottleneck units in four stages; Keras' form, whose convolutions have a bias.

    At 224x224x3 and 1000 classes: 23,587,712 parameters before the head, 53,120 of which are moving statistics, logits
    2,049,000; 25,636,712 parameters. Its layers keep Keras' names but for the last one, "predictions", which is
    "logits" here.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 3.
        num_classes: number of logits.
        width: multiplier on filters; 1.0 is the published model, which Keras' weights fit.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, num_classes).

    Reference:
        He et al. 2015, "Deep Residual Learning for Image Recognition", table 1.
    """
    image = image_input(image_size, channels)
    features = application_features("ResNet50", BGRMeans(name="normalization")(image), width=width)
    return _classifier(image, features, num_classes=num_classes, name="resnet50")


def se_resnet50(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds ResNet-50 with a squeeze-and-excitation before the sum of every unit.

    Each excitation over C channels, reduced by 16, has 2 C^2 / 16 + C / 16 + C parameters: 3 x 8,464 + 4 x 33,312 + 6 x
    132,160 + 3 x 526,464 = 2,530,992 on top of the paper's ResNet-50, whose convolutions have no bias; 28,141,144
    parameters, 28,088,024 of them trained (the paper: 28.1 million).

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 1 or 3.
        num_classes: number of logits.
        width: multiplier on filters; 1.0 is the published model.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "logits", float32 (N, num_classes).

    Reference:
        Hu et al. 2017, "Squeeze-and-Excitation Networks", table 1.
    """
    image = image_input(image_size, channels)
    x = _stem(scaled_to_one(image), width)
    for stage, (units, filters) in enumerate(zip(_UNITS, _FILTERS, strict=True), start=2):
        for unit in range(1, units + 1):
            x = bottleneck_unit(
                x,
                scaled_units(filters, width),
                stride=2 if unit == 1 and stage > 2 else 1,
                squeeze_ratio=16,
                name=f"conv{stage}_block{unit}",
            )
    return _classifier(image, x, num_classes=num_classes, name="se_resnet50")


def _stem(x: keras.KerasTensor, width: float) -> keras.KerasTensor:
    x = layers.Conv2D(
        scaled_units(64, width),
        7,
        strides=2,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name="conv1_conv",
    )(x)
    x = layers.BatchNormalization(name="conv1_bn")(x)
    x = layers.ReLU(name="conv1_relu")(x)
    return layers.MaxPooling2D(3, strides=2, padding="same", name="pool1_pool")(x)


def _classifier(image: keras.KerasTensor, x: keras.KerasTensor, *, num_classes: int, name: str) -> keras.Model:
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(image, layers.Dense(num_classes, name="logits")(x), name=name)
