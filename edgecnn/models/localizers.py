"""Localizers: a classifier's features, and two heads on the one vector that they are pooled to.

The layers as far as the pooling keep the classifier's names, so that its weights fit. The box is what
`edgecnn_runtime.decoders.LocationDecoder` says. Its head ends in a sigmoid: whatever the features are, the four numbers
stay in 0 to 1, the range that they mean and that a file of fewer bits has steps for. It begins near 0, in the middle of
the image and of the sigmoid, where the gradient is largest either way: a box of a quarter of each side. Keras' default
weights begin where the sigmoid is flat: a quarter-width ResNet-34 that learns twelve digits by heart has mean IoU .32
after 20 steps from those, and .76 from these.

Reference:
    Geron 2019, "Hands-On Machine Learning", chapter 14, "Classification and Localization".
"""

import keras
from keras import layers

from edgecnn.models.mobilenet import mobilenet_v2
from edgecnn.models.resnet import resnet34
from edgecnn.models.xception import xception


def resnet34_localizer(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds ResNet-34 with a box beside its class.

    At 224x224x3 and 1000 classes: ResNet-34's 21,814,696 parameters, and 512 x 4 + 4 = 2,052 of the box; 21,816,748,
    of which 21,799,724 are trained.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 1 or 3.
        num_classes: number of logits, 1 or more.
        width: multiplier on filters; 1.0 is the published model.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "logits", float32 (N, num_classes), and "boxes",
        float32 (N, 4).

    Reference:
        He et al. 2015, "Deep Residual Learning for Image Recognition", table 1.
    """
    return _with_box(
        resnet34(image_size=image_size, channels=channels, num_classes=num_classes, width=width), "resnet34_localizer"
    )


def xception_localizer(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds Xception with a box beside its class.

    At 299x299x3 and 1000 classes: Xception's 22,910,480 parameters, and 2048 x 4 + 4 = 8,196 of the box; 22,918,676,
    of which 22,864,148 are trained.

    Args:
        image_size: (height, width) in pixels, each at least 71.
        channels: of the image, 3.
        num_classes: number of logits, 1 or more.
        width: multiplier on filters; 1.0 is the published model, which Keras' weights fit.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, num_classes), and "boxes", float32
        (N, 4).

    Reference:
        Chollet 2016, "Xception: Deep Learning with Depthwise Separable Convolutions", figure 5.
    """
    return _with_box(
        xception(image_size=image_size, channels=channels, num_classes=num_classes, width=width), "xception_localizer"
    )


def mobilenet_v2_localizer(
    *, image_size: tuple[int, int], channels: int, num_classes: int, width: float
) -> keras.Model:
    """Builds MobileNetV2 with a box beside its class.

    At 224x224x3 and 1000 classes: MobileNetV2's 3,538,984 parameters, and 1280 x 4 + 4 = 5,124 of the box; 3,544,108,
    of which 3,509,996 are trained.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 3.
        num_classes: number of logits, 1 or more.
        width: multiplier on filters, as of `mobilenet_v2`. Keras' weights for 1.0 fit.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, num_classes), and "boxes", float32
        (N, 4).

    Reference:
        Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2.
    """
    classifier = mobilenet_v2(image_size=image_size, channels=channels, num_classes=num_classes, width=width)
    return _with_box(classifier, "mobilenet_v2_localizer")


def _with_box(classifier: keras.Model, name: str) -> keras.Model:
    logits = classifier.get_layer("logits")
    small = keras.initializers.RandomNormal(stddev=0.01)
    boxes = layers.Dense(4, activation="sigmoid", kernel_initializer=small, name="boxes")(logits.input)
    return keras.Model(classifier.input, [logits.output, boxes], name=name)
