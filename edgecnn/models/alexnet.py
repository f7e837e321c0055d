"""AlexNet, in its single-column form.

Reference:
    Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks".
"""

from functools import partial

import keras
from keras import layers

from edgecnn.models.layers import LocalResponseNormalization, image_input, scaled_around_zero, scaled_units


def alexnet(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds five convolutions, two of them followed by response normalisation, and three dense layers.

    At 227x227x3 and 1000 classes: conv1 34,944, conv2 614,656, conv3 885,120, conv4 1,327,488, conv5 884,992, fc6
    37,752,832, fc7 16,781,312, logits 4,097,000; 62,378,344 parameters. The paper's two columns, one a graphics card,
    are one here. Pixels go from -1 to 1 in place of the paper's subtracted mean of its training images, and the weights
    start He-normal.

    Args:
        image_size: (height, width) in pixels, each at least 67.
        channels: of the image, 1 or 3.
        num_classes: number of logits.
        width: multiplier on filters and units; 1.0 is the published model.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "logits", float32 (N, num_classes).

    Reference:
        Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 3.5.
    """
    conv = partial(layers.Conv2D, activation="relu", kernel_initializer="he_normal")
    dense = partial(layers.Dense, activation="relu", kernel_initializer="he_normal")
    image = image_input(image_size, channels)
    x = scaled_around_zero(image)
    x = conv(scaled_units(96, width), 11, strides=4, name="conv1")(x)
    x = LocalResponseNormalization(name="norm1")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    x = conv(scaled_units(256, width), 5, padding="same", name="conv2")(x)
    x = LocalResponseNormalization(name="norm2")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool2")(x)
    for index, filters in ((3, 384), (4, 384), (5, 256)):
        x = conv(scaled_units(filters, width), 3, padding="same", name=f"conv{index}")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool5")(x)
    x = layers.Flatten(name="flatten")(x)
    for index in (6, 7):
        x = dense(scaled_units(4096, width), name=f"fc{index}")(x)
        x = layers.Dropout(0.5, name=f"dropout{index}")(x)
    return keras.Model(image, layers.Dense(num_classes, name="logits")(x), name="alexnet")
