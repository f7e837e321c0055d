"""MobileNets, on `keras.applications`: what devices run.

Their layers keep Keras' names but for the last one, "predictions", which is "logits" here.

Reference:
    Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks".
"""

import keras
from keras import layers

from edgecnn.models.applications import application_features
from edgecnn.models.layers import image_input, scaled_around_zero


def mobilenet_v2(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds seventeen inverted residuals with linear bottlenecks between two convolutions.

    At 224x224x3 and 1000 classes: 2,257,984 parameters before the head, 34,112 of them moving statistics, logits
    1,281,000; 3,538,984 parameters. The width is the paper's multiplier: filters are rounded to multiples of 8, and the
    last convolution has 1,280 below a width of 1 too.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 3.
        num_classes: number of logits.
        width: multiplier on filters, Keras' `alpha`. Keras' weights for 1.0 fit.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, num_classes).

    Reference:
        Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2.
    """
    image = image_input(image_size, channels)
    x = application_features("MobileNetV2", scaled_around_zero(image), alpha=width)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(image, layers.Dense(num_classes, name="logits")(x), name="mobilenet_v2")
