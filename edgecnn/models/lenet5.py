"""LeNet-5: digits as distances to prototypes.

Reference:
    LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section II.B and figure 2.
"""

from functools import partial

import keras
from keras import layers

from edgecnn.models.layers import (
    RBF,
    ConnectionTableConv2D,
    DigitBitmaps,
    RandomSigns,
    TrainableAveragePooling,
    image_input,
    scaled_tanh,
)

# The paper's table I: for each map of C3 the maps of S2 that it sees.
_C3_TABLE = (
    (0, 1, 2),
    (1, 2, 3),
    (2, 3, 4),
    (3, 4, 5),
    (0, 4, 5),
    (0, 1, 5),
    (0, 1, 2, 3),
    (1, 2, 3, 4),
    (2, 3, 4, 5),
    (0, 3, 4, 5),
    (0, 1, 4, 5),
    (0, 1, 2, 5),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)
_BACKGROUND, _FOREGROUND = -0.1, 1.175  # what pixels 0 and 255 become


def lenet5(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds the 1998 network with its trained poolings, connection table and fixed prototypes.

    At 28x28x1 and 10 classes: c1 156, s2 12, c3 1,516, s4 32, c5 48,120, f6 10,164 trained, distances 840 fixed;
    60,840 parameters, 60,000 of them trained. Ten classes get the paper's kind of digit bitmaps as prototypes, any
    other number seeded signs. The weights start from LeCun's uniform distribution, and the loss is meant to be
    cross-entropy on the negative distances.

    Args:
        image_size: (height, width) in pixels, each at least 28; 2 black pixels are added to every side.
        channels: of the image, 1 or 3.
        num_classes: number of distances.
        width: 1.0; the table and the prototypes fix every size.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "distances", float32 (N, num_classes), squared
        Euclidean, the smallest of which wins.

    Reference:
        LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section II.B.
    """
    del width  # the catalogue row allows 1.0 only
    convolution = partial(layers.Conv2D, activation=scaled_tanh, kernel_initializer="lecun_uniform")
    image = image_input(image_size, channels)
    x = layers.ZeroPadding2D(2, name="padding")(image)
    x = layers.Rescaling((_FOREGROUND - _BACKGROUND) / 255, offset=_BACKGROUND, name="normalization")(x)
    x = convolution(6, 5, name="c1")(x)
    x = TrainableAveragePooling(name="s2")(x)
    x = layers.Activation(scaled_tanh, name="s2_squashed")(x)
    x = ConnectionTableConv2D(_C3_TABLE, 5, name="c3")(x)
    x = layers.Activation(scaled_tanh, name="c3_squashed")(x)
    x = TrainableAveragePooling(name="s4")(x)
    x = layers.Activation(scaled_tanh, name="s4_squashed")(x)
    x = convolution(120, 5, name="c5")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(84, activation=scaled_tanh, kernel_initializer="lecun_uniform", name="f6")(x)
    prototypes = DigitBitmaps() if num_classes == 10 else RandomSigns()
    return keras.Model(image, RBF(num_classes, prototypes=prototypes, name="distances")(x), name="lenet5")
