"""Squeeze and excitation. It is a function, not a layer: its parts keep their names and stand in the layer table."""

import keras
from keras import layers


def squeeze_excite(x: keras.KerasTensor, ratio: int = 16, *, name: str) -> keras.KerasTensor:
    """Returns x with each channel scaled by a gate from 0 to 1 that all channels' means decide.

    The mean over height and width is squeezed to channels / ratio units with ReLU and excited to one sigmoid a channel.
    The two dense layers are 1x1 convolutions over the 1x1 map of means: the same weights and sums, in the shape of the
    gate.

    Args:
        x: (N, height, width, channels) float.
        ratio: how many channels share one squeezed unit; at least one unit is kept.
        name: prefix of the layers' names; the last layer is named "<name>_scale".

    Returns:
        Of the shape of x.

    Reference:
        Hu et al. 2017, "Squeeze-and-Excitation Networks", figure 2 and section 3.
    """
    channels = x.shape[-1]
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)  # (N, 1, 1, channels)
    gate = layers.Conv2D(max(1, channels // ratio), 1, activation="relu", name=f"{name}_squeeze")(gate)
    gate = layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_excite")(gate)
    return layers.Multiply(name=f"{name}_scale")([x, gate])
