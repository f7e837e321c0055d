"""The convolutional parts of `keras.applications`: on our input, with our names, at any width."""

from typing import Any

import keras

from edgecnn.models.keras_names import own_names
from edgecnn.models.layers import scaled_units


def application_features(
    application: str, x: keras.KerasTensor, *, width: float = 1.0, **options: Any
) -> keras.KerasTensor:
    """Returns the features of a `keras.applications` model without its top.

    Its layers are Keras' own, with Keras' settings and initializers; those that Keras leaves unnamed get a name.

    Args:
        application: for example "ResNet50".
        x: (N, height, width, 3) float32, normalised as Keras' weights expect it.
        width: multiplier on the filters of every convolution; 1.0 is Keras' model.
        options: of the application, as a multiplier of its own.

    Returns:
        (N, height, width, channels) float32, as far as the application's last layer before its head.
    """
    published = getattr(keras.applications, application)(include_top=False, weights=None, input_tensor=x, **options)
    names = own_names(application, [layer.name for layer in published.layers])

    def scaled(layer: keras.Layer) -> keras.Layer:
        config = {**layer.get_config(), "name": names[layer.name]}
        if "filters" in config:
            config["filters"] = scaled_units(config["filters"], width)
        return type(layer).from_config(config)

    return keras.models.clone_model(published, input_tensors=published.inputs, clone_function=scaled).output
