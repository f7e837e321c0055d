"""Fully convolutional networks: VGG-16 with its dense layers as convolutions, and scores brought back to every pixel.

The layers as far as `fc2` are VGG-16's under the names that `vgg16` has; the paper calls its dense layers fc6 and fc7.
They are what `edgecnn.models.convolutional` makes of dense layers, but for their padding.

What differs from the reference Caffe networks, voc-fcn32s and voc-fcn8s: those pad the picture with 100 pixels and crop
the answer, so that fc6 finds 7x7 cells in a small picture too; here fc6 has "same" padding, which gives as many cells
as pool5 has and a map of the picture's size without a crop. No weight is lost or won by that. As in the Caffe files,
the transposed convolutions have a kernel for each pair of classes and no bias. They begin bilinear and learn, all of
them; the paper keeps the last one as it began (section 4.3), the Caffe files all.

Reference:
    Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation".
"""

import keras
from keras import layers

from edgecnn.models.applications import application_features
from edgecnn.models.layers import BGRMeans, image_input, scaled_units, scored, skip_upsampled, upsampled


def fcn32s(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds the network whose coarse scores, one a cell of 32 pixels, are enlarged at once.

    At 21 classes: 134,260,544 parameters in VGG-16 as far as fc2 (as the paper's table 1 has it: 134 M), 86,037 of the
    scores, 64 x 64 x 21 x 21 = 1,806,336 of the enlargement; 136,152,917, which are those of voc-fcn32s.

    Args:
        image_size: (height, width) in pixels, multiples of 32.
        channels: of the image, 3.
        num_classes: number of logits of a pixel.
        width: multiplier on filters; 1.0 is the published model, which VGG-16's weights fit.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, height, width, num_classes).

    Reference:
        Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation", section 4.1.
    """
    image, features = _features(image_size, channels, width)
    scores = scored(features, num_classes, name="score")
    return keras.Model(image, upsampled(scores, 32, name="logits"), name="fcn32s")


def fcn8s(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds the network that adds the scores of pool4 and of pool3 on the way back to the pixels.

    At 21 classes: 134,260,544 parameters in VGG-16 as far as fc2, 86,037 of its scores, 10,773 of pool4's and 5,397 of
    pool3's, 7,056 of each enlargement by two and 112,896 of the last one by eight; 134,489,759, which are those of
    voc-fcn8s.

    Args:
        image_size: (height, width) in pixels, multiples of 32.
        channels: of the image, 3.
        num_classes: number of logits of a pixel.
        width: multiplier on filters; 1.0 is the published model, which VGG-16's weights fit.

    Returns:
        A model from "image", uint8 (N, height, width, 3), to "logits", float32 (N, height, width, num_classes).

    Reference:
        Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation", section 4.2.
    """
    image, features = _features(image_size, channels, width)
    trunk = keras.Model(image, features)
    scores = scored(features, num_classes, name="score")
    for pool in ("block4_pool", "block3_pool"):
        scores = skip_upsampled(scores, trunk.get_layer(pool).output, name=f"{pool}_skip")
    return keras.Model(image, upsampled(scores, 8, name="logits"), name="fcn8s")


def _features(image_size: tuple[int, int], channels: int, width: float) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns the image, and what VGG-16's second dense layer gives of each cell of 32 pixels."""
    image = image_input(image_size, channels)
    x = application_features("VGG16", BGRMeans(name="normalization")(image), width=width)
    for index, size in ((1, 7), (2, 1)):
        x = layers.Conv2D(
            scaled_units(4096, width),
            size,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"fc{index}",
        )(x)
        x = layers.Dropout(0.5, name=f"dropout{index}")(x)
    return image, x
