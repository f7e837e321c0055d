"""U-Net: a contracting path, an expanding path, and at each level the map of the first handed to the second.

Reference:
    Ronneberger, Fischer and Brox 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation".
"""

from functools import partial

import keras
from keras import layers

from edgecnn.models.layers import image_input, scaled_to_one, scaled_units

_LEVELS = (64, 128, 256, 512)  # filters; figure 1
_BOTTOM = 1024


def unet(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds four levels of two 3x3 convolutions down, two at the bottom and four levels up; 23 convolutions.

    At one channel and two classes: 37,568, 221,440, 885,248 and 3,539,968 parameters on the way down, 14,157,824 at the
    bottom, 2,097,664 + 7,078,912, 524,544 + 1,770,240, 131,200 + 442,752 and 32,832 + 110,720 on the way up (the
    transposed convolution and the two after it), and 130 of the logits; 31,030,658. No batch normalisation, as
    published.

    The convolutions have "same" padding, where the paper's are "valid": the paper cuts a border of 92 pixels off the
    answer and mirrors the picture round it before; here every pixel of the input has its answer, the maps that are
    joined are of one size without a crop, and the weights are the same. What the network then guesses near a border is
    worse than inside; tiles overlap for that.

    The weights start He-normal (section 3 of the paper: standard deviation sqrt(2 / N)), those of the transposed
    convolutions too: their 2x2 windows do not overlap, so that bilinear interpolation is none of them. Pixels go from 0
    to 1, so that what "same" padding adds is black, and the integer graph takes the pixels as they are.

    Args:
        image_size: (height, width) in pixels, multiples of 16.
        channels: of the image, 1 or 3.
        num_classes: number of logits of a pixel.
        width: multiplier on filters; 1.0 is the published model, 0.5 begins with 32 filters.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "logits", float32 (N, height, width, num_classes).

    Reference:
        Ronneberger, Fischer and Brox 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation", section
        2; dropout at the end of the contracting path: section 3.1.
    """
    image = image_input(image_size, channels)
    x, maps = scaled_to_one(image), []
    for level, filters in enumerate(_LEVELS, 1):
        x = _two_convolutions(x, scaled_units(filters, width), name=f"down{level}")
        if level == len(_LEVELS):
            x = layers.Dropout(0.5, name=f"down{level}_dropout")(x)
        maps.append(x)
        x = layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
    x = _two_convolutions(x, scaled_units(_BOTTOM, width), name="bottom")
    x = layers.Dropout(0.5, name="bottom_dropout")(x)
    for level, filters in reversed(list(enumerate(_LEVELS, 1))):
        x = layers.Conv2DTranspose(
            scaled_units(filters, width), 2, strides=2, kernel_initializer="he_normal", name=f"up{level}"
        )(x)
        x = layers.Concatenate(name=f"up{level}_joined")([maps[level - 1], x])
        x = _two_convolutions(x, scaled_units(filters, width), name=f"up{level}")
    logits = layers.Conv2D(num_classes, 1, kernel_initializer="he_normal", name="logits")(x)
    return keras.Model(image, logits, name="unet")


def _two_convolutions(x: keras.KerasTensor, filters: int, *, name: str) -> keras.KerasTensor:
    convolution = partial(layers.Conv2D, filters, 3, padding="same", activation="relu", kernel_initializer="he_normal")
    return convolution(name=f"{name}_conv2")(convolution(name=f"{name}_conv1")(x))
