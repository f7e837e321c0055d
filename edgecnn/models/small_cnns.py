"""Three small classifiers for 28x28 gray images.

References:
    `simple_cnn`: the convolution-pooling pattern of LeCun et al. 1998, "Gradient-Based Learning Applied to Document
    Recognition", with ReLU. `mnist_convnet`: Chollet 2018, "Deep Learning with Python", section 5.1. `fashion_cnn`:
    Geron 2019, "Hands-On Machine Learning with Scikit-Learn, Keras, and TensorFlow", chapter 14.
"""

from functools import partial

import keras
from keras import layers

from edgecnn.models.layers import image_input, scaled_to_one, scaled_units


def simple_cnn(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds two 3x3 convolutions with pooling and one wide dense layer.

    At 28x28x1 and 10 classes: conv1 320, conv2 18,496, dense 1,639,424, logits 10,250; 1,668,490 parameters.

    Args:
        image_size: (height, width) in pixels, each at least 10.
        channels: of the image, 1 or 3.
        num_classes: number of logits.
        width: multiplier on filters and units; 1.0 is the published model.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "logits", float32 (N, num_classes).

    Reference:
        LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition" (the pattern).
    """
    image = image_input(image_size, channels)
    x = scaled_to_one(image)
    x = layers.Conv2D(scaled_units(32, width), 3, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(scaled_units(64, width), 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(scaled_units(1024, width), activation="relu", name="dense")(x)
    return keras.Model(image, layers.Dense(num_classes, name="logits")(x), name="simple_cnn")


def mnist_convnet(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds three 3x3 convolutions and a small dense layer; MNIST test accuracy 0.9912 after 5 epochs, as published.

    At 28x28x1 and 10 classes: conv1 320, conv2 18,496, conv3 36,928, dense 36,928, logits 650; 93,322 parameters.

    Args:
        image_size: (height, width) in pixels, each at least 18.
        channels: of the image, 1 or 3.
        num_classes: number of logits.
        width: multiplier on filters and units; 1.0 is the published model.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "logits", float32 (N, num_classes).

    Reference:
        Chollet 2018, "Deep Learning with Python", section 5.1.
    """
    image = image_input(image_size, channels)
    x = scaled_to_one(image)
    x = layers.Conv2D(scaled_units(32, width), 3, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(scaled_units(64, width), 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Conv2D(scaled_units(64, width), 3, activation="relu", name="conv3")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(scaled_units(64, width), activation="relu", name="dense")(x)
    return keras.Model(image, layers.Dense(num_classes, name="logits")(x), name="mnist_convnet")


def fashion_cnn(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds a 7x7 stage and two doubled 3x3 stages, then two dense layers with dropout; He-normal weights.

    At 28x28x1 and 10 classes: 3,200 + 73,856 + 147,584 + 295,168 + 590,080 in the convolutions, 295,040 + 8,256 + 650
    in the dense layers; 1,413,834 parameters.

    Args:
        image_size: (height, width) in pixels, each at least 8.
        channels: of the image, 1 or 3.
        num_classes: number of logits.
        width: multiplier on filters and units; 1.0 is the published model.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "logits", float32 (N, num_classes).

    Reference:
        Geron 2019, "Hands-On Machine Learning with Scikit-Learn, Keras, and TensorFlow", chapter 14.
    """
    conv = partial(layers.Conv2D, padding="same", activation="relu", kernel_initializer="he_normal")
    dense = partial(layers.Dense, activation="relu", kernel_initializer="he_normal")
    image = image_input(image_size, channels)
    x = scaled_to_one(image)
    x = conv(scaled_units(64, width), 7, name="conv1")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    for stage, filters in ((2, 128), (3, 256)):
        x = conv(scaled_units(filters, width), 3, name=f"conv{stage}a")(x)
        x = conv(scaled_units(filters, width), 3, name=f"conv{stage}b")(x)
        x = layers.MaxPooling2D(name=f"pool{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    for index, units in ((1, 128), (2, 64)):
        x = dense(scaled_units(units, width), name=f"dense{index}")(x)
        x = layers.Dropout(0.5, name=f"dropout{index}")(x)
    return keras.Model(image, layers.Dense(num_classes, name="logits")(x), name="fashion_cnn")
