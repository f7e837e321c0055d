"""Dilated convolutions. They are a function, not a layer: its parts keep their names and stand in the layer table."""

from collections.abc import Sequence

import keras
from keras import layers


def dilated_block(
    x: keras.KerasTensor, filters: int, rates: Sequence[int] = (1, 1, 2, 4, 8, 16, 1), *, name: str
) -> keras.KerasTensor:
    """Returns 3x3 convolutions in a row whose taps stand further and further apart, so that a cell sees far at no cost.

    A convolution of rate r reads every r-th cell, which widens what a cell sees by 2 r and keeps height and width, the
    number of weights and that of multiply-adds. The default rates are the paper's context module: a cell sees 67 x 67.

    Args:
        x: (N, height, width, channels) float.
        filters: of every convolution.
        rates: the distance between the taps of each convolution, in cells.
        name: prefix of the layers' names, "<name>_1" and so on, each followed by a ReLU.

    Returns:
        (N, height, width, filters).

    Reference:
        Yu and Koltun 2016, "Multi-Scale Context Aggregation by Dilated Convolutions", table 1.
    """
    for number, rate in enumerate(rates, 1):
        x = layers.Conv2D(
            filters,
            3,
            padding="same",
            dilation_rate=rate,
            activation="relu",
            kernel_initializer="he_normal",
            name=f"{name}_{number}",
        )(x)
    return x
