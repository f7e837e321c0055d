"""What one layer of a trained network makes of one image."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edgecnn.errors import UsageError
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import ImageSource, Preprocessor

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.SeparableConv2D, keras.layers.DepthwiseConv2D)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMaps:
    """The activations of a layer, and the pixels that gave them.

    Attributes:
        layer: its name.
        pixels: (height, width, channels) uint8, the image as the network takes it.
        activations: (H, W, C) float32, one map a channel.
    """

    layer: str
    pixels: npt.NDArray[np.uint8]
    activations: npt.NDArray[np.float32]


def feature_maps(
    model: keras.Model, manifest: Manifest, image: ImageSource, *, layer: str | None = None
) -> FeatureMaps:
    """Runs a model in inference mode up to one layer. Of one that looks at regions, the region is the whole picture.

    Args:
        model: functional, with an image for its first input, each layer called once.
        manifest: of the model; it says how the image becomes its pixels.
        image: what a `Preprocessor` takes.
        layer: a name; None takes the first convolution.

    Raises:
        UsageError: no such layer, or one whose output is no map (N, H, W, C).
        ImageError: the image cannot be read or is refused.
    """
    chosen = _layer_with_maps(model, layer)
    pixels, placement = Preprocessor(manifest.image_input)(image)
    inputs, regions = model.inputs[:1], manifest.proposals_input
    given: list[npt.NDArray[Any]] = [pixels]
    if regions is not None:
        height, width = placement.image_size
        inputs, given = model.inputs[:2], [pixels, regions.read([[0, 0, width, height]], pixels, placement)]
    (activations,) = np.asarray(keras.Model(inputs, chosen.output)(given, training=False), np.float32)
    return FeatureMaps(chosen.name, pixels[0], activations)


def _layer_with_maps(model: keras.Model, name: str | None) -> keras.Layer:
    """Returns the layer of that name, or the first convolution."""
    shapes = {layer.name: _output_shape(layer) for layer in model.layers}
    with_maps = [layer for layer in model.layers if len(shapes[layer.name]) == 4]
    for layer in with_maps:
        if layer.name == name or (name is None and isinstance(layer, _CONVOLUTIONS)):
            return layer
    known = ", ".join(layer.name for layer in with_maps)
    if name is None:
        raise UsageError(f"layer: expected one of {known}, received none, and no layer is a convolution")
    if name not in shapes:
        raise UsageError(f"layer: expected one of {known}, received {name!r}")
    shape = ", ".join(["N", *map(str, shapes[name][1:])])
    raise UsageError(
        f"layer: expected one with maps, whose output is (N, H, W, C), received {name!r}, whose output is ({shape}). "
        f"Those with maps are {known}"
    )


def _output_shape(layer: keras.Layer) -> tuple[int | None, ...]:
    """The shape of a layer's only output, or of the first of several."""
    return tuple(keras.tree.flatten(layer.output)[0].shape)
