"""VGG-16 and VGG-19, on `keras.applications`.

Their layers keep Keras' names but for the last one, "predictions", which is "logits" here.

Reference:
    Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition".
"""

from collections.abc import Callable

import keras
from keras import layers

from edgecnn.models.layers import BGRMeans, image_input


def vgg16(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds thirteen 3x3 convolutions in five blocks and three dense layers (configuration D).

    At 224x224x3 and 1000 classes: blocks 38,720, 221,440, 1,475,328, 5,899,776 and 7,079,424, fc1 102,764,544,
    fc2 16,781,312, logits 4,097,000; 138,357,544 parameters.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 3.
        num_classes: number of logits.
        width: 1.0, the width of Keras' layers.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, num_classes).

    Reference:
        Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition", table 1.
    """
    del width  # the catalogue row allows 1.0 only
    return _vgg(keras.applications.VGG16, image_size, channels=channels, num_classes=num_classes)


def vgg19(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds sixteen 3x3 convolutions in five blocks and three dense layers (configuration E).

    At 224x224x3 and 1000 classes: blocks 38,720, 221,440, 2,065,408, 8,259,584 and 9,439,232, fc1 102,764,544,
    fc2 16,781,312, logits 4,097,000; 143,667,240 parameters.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 3.
        num_classes: number of logits.
        width: 1.0, the width of Keras' layers.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, num_classes).

    Reference:
        Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition", table 1.
    """
    del width  # the catalogue row allows 1.0 only
    return _vgg(keras.applications.VGG19, image_size, channels=channels, num_classes=num_classes)


def _vgg(
    application: Callable[..., keras.Model], image_size: tuple[int, int], *, channels: int, num_classes: int
) -> keras.Model:
    image = image_input(image_size, channels)
    backbone = application(include_top=False, weights=None, input_tensor=BGRMeans(name="normalization")(image))
    x = layers.Flatten(name="flatten")(backbone.output)
    x = layers.Dense(4096, activation="relu", name="fc1")(x)
    x = layers.Dense(4096, activation="relu", name="fc2")(x)
    return keras.Model(image, layers.Dense(num_classes, name="logits")(x), name=backbone.name)
