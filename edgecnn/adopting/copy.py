"""Somebody's model behind an input of uint8 pixels and outputs that a decoder reads: what a run folder holds."""

import keras

from edgecnn.adopting.mounting import End, Layout, Mounting
from edgecnn.models.layers import BothClasses, LogOfScores, ScaledPixels
from edgecnn_runtime.manifest import Manifest

_PIXELS = "normalization"  # as in every model of the catalogue
_PLACES = ("channels_first", "as_it_takes_them")  # layers that bring pixels to the shape that the network takes


def copied_model(model: keras.Model, mounting: Mounting, manifest: Manifest) -> keras.Model:
    """Returns a model on the same layers, from the manifest's inputs to its outputs.

    The layers of a functional or Sequential model stand in it one by one, so that each keeps its name; one of another
    class, or with a layer of a name that is ours, stands in it as one layer.

    Args:
        model: as its file gave it.
        mounting: what stands before it and behind it.
        manifest: of the copy.
    """
    image, scaling, ends = mounting.image, mounting.scaling, mounting.ends
    tensors = [keras.Input(spec.shape, dtype=spec.dtype, name=spec.name) for spec in manifest.inputs]
    pixels, *others = tensors
    x = ScaledPixels(scaling.mean, scaling.std, bgr=scaling.bgr, name=_PIXELS)(pixels)
    x = _placed(x, tuple(model.inputs[image].shape[1:]), mounting.layout)
    given = [*others]
    given.insert(image, x)
    same = {end.name for end in ends if end.change == "none" and _names_of(model)[end.tensor] == end.name}
    called, flat = _called(model, given, manifest, same)
    outputs = [called[end.tensor] if flat and end.name in same else _ended(called[end.tensor], end) for end in ends]
    return keras.Model(tensors if len(tensors) > 1 else pixels, outputs if len(outputs) > 1 else outputs[0])


def _placed(x: keras.KerasTensor, shape: tuple[int | None, ...], layout: Layout) -> keras.KerasTensor:
    """Returns pixels (N, height, width, C) in the shape that the network takes."""
    if layout == "channels_first":
        return keras.layers.Permute((3, 1, 2), name=_PLACES[0])(x)
    if layout == "reshaped":
        return keras.layers.Reshape(tuple(x.shape[1:3]) if len(shape) == 2 else shape, name=_PLACES[1])(x)
    return x


def _called(
    model: keras.Model, given: list[keras.KerasTensor], manifest: Manifest, same: set[str]
) -> tuple[list[keras.KerasTensor], bool]:
    """Returns the model's outputs for tensors of our own, and whether its layers stand one by one before them.

    Args:
        model: as its file gave it.
        given: one an input.
        manifest: of the copy.
        same: names of outputs that are called so in the model too.
    """
    ours = {_PIXELS, *_PLACES, *(spec.name for spec in (*manifest.inputs, *manifest.outputs))} - same
    inner = {layer.name for layer in model.layers} - {tensor.name for tensor in model.inputs}
    inputs = keras.tree.pack_sequence_as(model.input, given) if len(given) > 1 else given[0]
    flat = type(model).__name__ in ("Functional", "Sequential") and not inner & ours
    outputs = model.call(inputs) if flat else model(inputs)  # a call makes one layer of it
    return list(keras.tree.flatten(outputs)), flat


def _names_of(model: keras.Model) -> list[str]:
    """Returns what the model calls its outputs."""
    return list(getattr(model, "output_names", None) or [model.layers[-1].name])


def _ended(tensor: keras.KerasTensor, end: End) -> keras.KerasTensor:
    """Returns an output as a decoder reads it, under the manifest's name."""
    if end.change == "log":
        return LogOfScores(name=end.name)(tensor)
    if end.change == "both":
        return BothClasses(name=end.name)(tensor)
    if end.change == "grid":
        return keras.layers.Reshape(end.shape, name=end.name)(tensor)
    return keras.layers.Identity(name=end.name)(tensor)
