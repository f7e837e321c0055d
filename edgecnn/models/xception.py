"""Xception, on `keras.applications`.

Its layers keep Keras' names but for the last one, "predictions", which is "logits" here, and for the residual
connections, which Keras leaves unnamed (see keras_names.py).

Reference:
    Chollet 2016, "Xception: Deep Learning with Depthwise Separable Convolutions".
"""

import keras
from keras import layers

from edgecnn.models.applications import application_features
from edgecnn.models.layers import image_input, scaled_around_zero


def xception(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds fourteen blocks of separable convolutions with linear residual connections.

    At 299x299x3 and 1000 classes: 20,861,480 parameters in the blocks, 54,528 of which are moving statistics, logits
    2,049,000; 22,910,480 parameters.

    Args:
        image_size: (height, width) in pixels, each at least 71.
        channels: of the image, 3.
        num_classes: number of logits.
        width: multiplier on filters; 1.0 is the published model, which Keras' weights fit.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, num_classes).

    Reference:
        Chollet 2016, "Xception: Deep Learning with Depthwise Separable Convolutions", figure 5.
    """
    image = image_input(image_size, channels)
    x = application_features("Xception", scaled_around_zero(image), width=width)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(image, layers.Dense(num_classes, name="logits")(x), name="xception")
