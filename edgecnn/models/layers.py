"""Pieces that the builders share."""

import keras


def image_input(image_size: tuple[int, int], channels: int) -> keras.KerasTensor:
    """Returns the input of every builder: raw pixels, so that normalisation is part of the model.

    Args:
        image_size: (height, width) in pixels.
        channels: 1 or 3.

    Returns:
        A uint8 tensor named "image" of shape (N, height, width, channels), values 0 to 255.
    """
    return keras.Input((*image_size, channels), dtype="uint8", name="image")


def scaled_to_one(image: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the pixels as float32 from 0 to 1, through the layer named "normalization"."""
    return keras.layers.Rescaling(1 / 255, name="normalization")(image)


def scaled_units(units: int, width: float) -> int:
    """Returns the number of filters or units at a width multiplier, at least 1.

    >>> scaled_units(64, 0.25), scaled_units(10, 0.01)
    (16, 1)
    """
    return max(1, round(units * width))
