"""A classifier's dense layers as convolutions, so that it answers for every place of a larger picture at once.

A dense layer of n units over a map of h x w cells is a convolution of n filters of h x w cells, and one over the answer
of another dense layer a convolution of 1 x 1: the same weights and sums, at every place that a larger map has.

Reference:
    Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation", section 3.1.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import keras
from keras import layers

from edgecnn.errors import UsageError

# What works on each number alone, or on the channels of a cell, and so on a map as on a vector.
_ON_NUMBERS = (
    layers.Activation,
    layers.BatchNormalization,
    layers.Dropout,
    layers.ELU,
    layers.GaussianNoise,
    layers.Identity,
    layers.LeakyReLU,
    layers.ReLU,
    layers.Softmax,
)
_WINDOWED: dict[type[keras.Layer], type[keras.Layer]] = {
    layers.GlobalAveragePooling2D: layers.AveragePooling2D,
    layers.GlobalMaxPooling2D: layers.MaxPooling2D,
}
_OF_ONE_SIZE = (layers.CenterCrop, layers.RandomCrop, layers.Reshape, layers.Resizing)

_Shape = tuple[int | None, ...]
_Window = tuple[int, int] | None


def convolutional(model: keras.Model, image_size: tuple[int | None, int | None] = (None, None)) -> keras.Model:
    """Returns a classifier as a network of convolutions alone, with its weights, for pictures of any size.

    At the classifier's own size it gives a map of one cell, which holds the classifier's answer. On a larger picture it
    gives an answer each so many pixels, as the strides of its layers are: cell (row, column) is the answer to the crop
    of the classifier's size that begins at (row x stride, column x stride), without calculating what crops have in
    common. That is exact where the layers pad with nothing ("valid"); where they pad ("same", as in VGG-16), a crop has
    a border of zeros where the picture goes on.

    Flatten, or a Reshape to one axis, goes; global pooling of a map becomes pooling of windows; layers that keep a map
    a map are kept. The model and its weights are not touched.

    Args:
        model: functional or Sequential, from one image to one or more vectors; channels last.
        image_size: (height, width) of the new model's input, in pixels; None where it is free.

    Returns:
        A model with outputs (N, rows, columns, units) where the classifier's are (N, units), and the same layer names.

    Raises:
        UsageError: a layer that cannot be turned; it is named.

    Reference:
        Long, Shelhamer and Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation", section 3.1;
        Sermanet et al. 2014, "OverFeat", section 3.5.

    Example:
        >>> image = keras.Input((4, 4, 3))
        >>> classifier = keras.Model(image, layers.Dense(5)(layers.Flatten()(image)))
        >>> convolutional(classifier, (6, 8)).output.shape
        (None, 3, 5, 5)
    """
    model = _functional(model)
    windows = _windows_read(model)
    turned: list[tuple[keras.Layer, keras.Layer]] = []

    def turn(layer: keras.Layer) -> keras.Layer:
        new = _turned(layer, windows[layer.name])
        turned.append((layer, new))
        return new

    (image,) = model.inputs
    larger = keras.Input((*image_size, image.shape[-1]), dtype=image.dtype, name=image.name)
    given = keras.tree.map_structure(lambda _: larger, model.input)  # a list of one, or the tensor itself
    made = keras.models.clone_model(model, given, clone_function=turn, call_function=_called)
    for old, new in turned:
        if not isinstance(old, keras.Model):  # which has its weights already
            _carry_over(old, new)
    return made


def _windows_read(model: keras.Model) -> dict[str, _Window]:
    """Returns of how many cells a map the vector is that each layer reads; None for those that read maps.

    Raises:
        UsageError: a layer is none that can be turned, or an output is no answer of a dense layer or a pooling.
    """
    read: dict[str, _Window] = {}
    made: dict[str, _Window] = {}
    sources = {
        layer["name"]: [list(_names_of(node)) for node in layer["inbound_nodes"]]
        for layer in model.get_config()["layers"]
    }
    for layer in model.operations:
        if isinstance(layer, layers.InputLayer):
            made[layer.name] = None
            continue
        if len(sources[layer.name]) != 1 or len(keras.tree.flatten(layer.output)) != 1:
            raise _refused(layer, "one that is called once and gives one tensor", "another")
        if getattr(layer, "data_format", "channels_last") == "channels_first":
            raise _refused(layer, "channels last", "channels first")
        (names,) = sources[layer.name]
        read[layer.name] = made[names[0]] if len(names) == 1 else None
        shapes = [tuple(model.get_layer(name).output.shape) if name in made else () for name in names]
        made[layer.name] = _window_made(layer, shapes, [made[name] for name in names])
    for name in model.output_names:
        if made[name] != (1, 1):
            raise UsageError(
                f"{model.name}: expected to end in dense layers over a map or its pooling, received "
                f"{model.get_layer(name).output.shape[1:]} of layer {name!r}. Only classifiers become convolutions."
            )
    return read


def _names_of(tree: Any) -> Iterator[str]:
    """Yields the layers whose tensors stand in a part of a model's configuration."""
    if isinstance(tree, dict) and tree.get("class_name") == "__keras_tensor__":
        yield tree["config"]["keras_history"][0]
    elif isinstance(tree, dict | list | tuple):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _names_of(part)


def _window_made(layer: keras.Layer, shapes: Sequence[_Shape], read: Sequence[_Window]) -> _Window:
    """Returns of how many cells the vector is that a layer makes, 1 x 1 of a dense one; None for a map.

    Args:
        layer: any.
        shapes: of what it reads.
        read: the windows of the same; None of a map.

    Raises:
        UsageError: it cannot be turned.
    """
    made = tuple(layer.output.shape)
    if len(made) == 4 and not any(read):
        _check_takes_any_size(layer)
        return None
    if len(made) == 2 and len(shapes) == 1 and None not in shapes[0][1:]:
        (shape,), (window,) = shapes, read
        if isinstance(layer, layers.Flatten | layers.Reshape):
            return window or cast(tuple[int, int], shape[1:3])
        if window is None and isinstance(layer, (keras.Model, *_WINDOWED)):
            return 1, 1
        if window is not None and isinstance(layer, layers.Dense):
            return 1, 1
        if window is not None and isinstance(layer, _ON_NUMBERS) and (window == (1, 1) or not _mixes_channels(layer)):
            return window
    raise _refused(
        layer,
        "Flatten, dense layers, global pooling, and activations and dropout among them",
        f"{type(layer).__name__} from {', '.join(map(str, shapes))} to {made}",
    )


def _turned(layer: Any, window: _Window) -> keras.Layer:
    """Returns the layer that does to maps of any size what one does to its map, or to the vector of a window."""
    if isinstance(layer, keras.Model):
        return convolutional(layer) if len(layer.output.shape) == 2 else _of_any_size(layer)
    if isinstance(layer, layers.Dense) and window is not None:
        return _convolution(layer, window)
    if (pooling := _WINDOWED.get(type(layer))) is not None:
        return pooling(layer.input.shape[1:3], strides=1, name=layer.name)
    if isinstance(layer, layers.Flatten | layers.Reshape):
        return layers.Identity(name=layer.name)
    return type(layer).from_config(layer.get_config())


def _called(layer: keras.Layer, *given: Any, **options: Any) -> Any:
    try:
        return layer(*given, **options)
    except (TypeError, ValueError) as error:  # Keras has many, and all say that the layer knows another size
        raise _refused(layer, "one that takes maps of any height and width", _first_line(error)) from error


def _mixes_channels(layer: keras.Layer) -> bool:
    """Whether a layer makes a number of several, so that it must find the channels of one cell alone."""
    activation = getattr(layer, "activation", None)
    softmax = activation in (keras.activations.softmax, keras.activations.log_softmax)
    return softmax or isinstance(layer, layers.BatchNormalization | layers.Softmax)


def _check_takes_any_size(layer: keras.Layer) -> None:
    if isinstance(layer, _OF_ONE_SIZE) or getattr(layer, "keepdims", False):
        raise _refused(layer, "one that takes maps of any height and width", type(layer).__name__)


def _convolution(dense: keras.Layer, window: tuple[int, int]) -> keras.Layer:
    """Returns a dense layer over a window of cells as a convolution, without its weights."""
    taken = ("name", "trainable", "dtype", "activation", "use_bias", "kernel_initializer", "bias_initializer",
             "kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint")  # fmt: skip
    config = dense.get_config()
    return layers.Conv2D.from_config(
        {"filters": dense.units, "kernel_size": window} | {key: config[key] for key in taken if key in config}
    )


def _of_any_size(model: keras.Model) -> keras.Model:
    """Returns a model inside a model, from a map to a map, for maps of any size."""
    model = _functional(model)
    for layer in model.layers:
        _check_takes_any_size(layer)
    (read,) = model.inputs
    free = keras.Input((None, None, read.shape[-1]), dtype=read.dtype, name=read.name)
    made = keras.models.clone_model(model, keras.tree.map_structure(lambda _: free, model.input))
    made.set_weights(model.get_weights())
    return made


def _carry_over(old: keras.Layer, new: keras.Layer) -> None:
    """Gives a layer the weights of the one that it stands for.

    Flatten puts the cells of a map row by row and the channels of each side by side, as the kernel of a convolution.
    """
    values, shapes = old.get_weights(), [tuple(weight.shape) for weight in new.weights]
    if [math.prod(value.shape) for value in values] != [math.prod(shape) for shape in shapes]:
        raise _refused(old, f"weights of shapes {shapes}", f"{[value.shape for value in values]}")
    new.set_weights([value.reshape(shape) for value, shape in zip(values, shapes, strict=True)])


def _functional(model: keras.Model) -> keras.Model:
    """Returns the model as a functional one, which says how its layers hang together.

    Raises:
        UsageError: it is none, or has several inputs, or one that is no image.
    """
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    if not hasattr(model, "inputs") or not hasattr(model, "output_names"):
        raise UsageError(
            f"{model.name}: expected a functional model or a Sequential one that knows its input, received a "
            f"{type(model).__name__}"
        )
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
        shapes = [tuple(tensor.shape) for tensor in model.inputs]
        raise UsageError(f"{model.name}: expected one input, (N, height, width, channels), received {shapes}")
    return model


def _refused(layer: keras.Layer, expected: str, received: str) -> UsageError:
    return UsageError(f"layer {layer.name!r} cannot become a convolution: expected {expected}, received {received}")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
