"""A convolutional model that takes images of any size, on the layers of one that takes a single size."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers


@keras.saving.register_keras_serializable(package="edgecnn")
class SplitUnits(layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Splits the last axis of a map in two, whatever the map's height and width: (N, H, W, A B) to (N, H, W, A, B).

    Args:
        target_shape: (A, B).
        options: of every Keras layer.
    """

    def __init__(self, target_shape: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.target_shape = tuple(target_shape)

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the split map."""
        count, height, width = keras.ops.shape(x)[:3]
        return keras.ops.reshape(x, (-1 if count is None else count, height, width, *self.target_shape))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the shape of the split map."""
        return (*input_shape[:3], *self.target_shape)

    def get_config(self) -> dict[str, object]:
        """Returns what makes the same again."""
        return {**super().get_config(), "target_shape": self.target_shape}


def resized(model: keras.Model, image_size: tuple[int | None, int | None]) -> keras.Model:
    """Returns the model for images of another size, or of any, on the same layers and with the same weights.

    Args:
        model: from one image to maps, in layers that know of no size, but for a `Reshape` of a map's last axis, which
            becomes a `SplitUnits` where the size is free, and one again where it is not.
        image_size: (height, width) in pixels; None where it is free.
    """
    image = keras.Input(
        (*image_size, model.inputs[0].shape[-1]), dtype=model.inputs[0].dtype, name=model.inputs[0].name
    )

    def fitting(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, layers.Reshape | SplitUnits):
            return SplitUnits(layer.target_shape[-2:], name=layer.name)
        return layer

    def reshaped(
        layer: keras.layers.Layer, x: keras.KerasTensor, *args: object, **options: object
    ) -> keras.KerasTensor:
        if isinstance(layer, SplitUnits) and None not in x.shape[1:3]:
            return layers.Reshape((*x.shape[1:3], *layer.target_shape), name=layer.name)(x)
        return layer(x, *args, **options)

    return keras.models.clone_model(model, image, clone_function=fitting, call_function=reshaped)
