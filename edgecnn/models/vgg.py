"""VGG-16 and VGG-19, on `keras.applications`.

Their layers keep Keras' names but for the last one, "predictions", which is "logits" here.

Reference:
    Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition".
"""

import keras
from keras import layers

from edgecnn.models.applications import application_features
from edgecnn.models.layers import BGRMeans, image_input, scaled_units


def vgg16(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds thirteen 3x3 convolutions in five blocks and three dense layers (configuration D).

    At 224x224x3 and 1000 classes: blocks 38,720, 221,440, 1,475,328, 5,899,776 and 7,079,424, fc1 102,764,544,
    fc2 16,781,312, logits 4,097,000; 138,357,544 parameters.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 3.
        num_classes: number of logits.
        width: multiplier on filters and units; 1.0 is the published model, which Keras' weights fit.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, num_classes).

    Reference:
        Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition", table 1.
    """
    return _vgg("VGG16", image_size, channels=channels, num_classes=num_classes, width=width)


def vgg19(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds sixteen 3x3 convolutions in five blocks and three dense layers (configuration E).

    At 224x224x3 and 1000 classes: blocks 38,720, 221,440, 2,065,408, 8,259,584 and 9,439,232, fc1 102,764,544,
    fc2 16,781,312, logits 4,097,000; 143,667,240 parameters.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 3.
        num_classes: number of logits.
        width: multiplier on filters and units; 1.0 is the published model, which Keras' weights fit.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, num_classes).

    Reference:
        Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition", table 1.
    """
    return _vgg("VGG19", image_size, channels=channels, num_classes=num_classes, width=width)


def _vgg(
    application: str, image_size: tuple[int, int], *, channels: int, num_classes: int, width: float
) -> keras.Model:
    image = image_input(image_size, channels)
    x = application_features(application, BGRMeans(name="normalization")(image), width=width)
    x = layers.Flatten(name="flatten")(x)
    for name in ("fc1", "fc2"):
        x = layers.Dense(scaled_units(4096, width), activation="relu", name=name)(x)
    return keras.Model(image, layers.Dense(num_classes, name="logits")(x), name=application.lower())
