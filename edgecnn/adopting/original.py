"""Somebody's model as it is, on its own inputs: what the copy in a run folder and every file of it are proven with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn.adopting.mounting import Change, Mounting
from edgecnn.adopting.record import AdoptionRecord
from edgecnn.models.head import Head, read_head
from edgecnn.models.layers import LEAST_SCORE
from edgecnn.tasks.table import TASKS, load
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.pixel_scaling import PIXEL_SCALINGS, PixelScaling
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.results import Result

# What keras.applications calls them: where it has one, its arithmetic is taken and not ours
_MODES = {"signed": "tf", "caffe": "caffe", "torch": "torch"}


class OriginalModel:
    """Runs a model as its owner would: pixels become its own float inputs in NumPy, and no layer of ours takes part.

    Args:
        model: as its file gave it.
        mounting: what stands before it and behind it.
        manifest: names inputs and outputs.
    """

    def __init__(self, model: keras.Model, mounting: Mounting, manifest: Manifest) -> None:
        self._mounting, self._manifest = mounting, manifest
        self._traced, self._specs = trace(model), inputs_of(model)
        decoded = next(end for end in mounting.ends if end.name == manifest.decoder.output)
        head = read_head(self._traced.get_concrete_function(), decoded.tensor)
        self.head: Head = "linear" if decoded.change == "log" else head
        self._own_results = load(TASKS[manifest.task].own_results)

    def scaled_by(self, scaling: PixelScaling) -> "OriginalModel":
        """Returns the same model, whose pixels are scaled in another way."""
        other = object.__new__(OriginalModel)
        other.__dict__.update(self.__dict__, _mounting=replace(self._mounting, scaling=scaling))
        return other

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float32]]:
        """Returns the raw outputs by the manifest's names.

        Args:
            feeds: one array an input; the image is uint8 (N, height, width, channels).
        """
        image, *others = (spec.name for spec in self._manifest.inputs)
        given = [feeds[name] for name in others]
        given.insert(self._mounting.image, self._placed(feeds[image]))
        ready = [
            tf.cast(tf.reshape(array, (-1, *shape)) if None not in shape else array, dtype)
            for array, (shape, dtype) in zip(given, self._specs, strict=True)
        ]
        outputs = self._traced(*ready)
        return {end.name: _changed(outputs[end.tensor].numpy(), end.change, end.shape) for end in self._mounting.ends}

    def results(
        self, outputs: Mapping[str, npt.NDArray[Any]], placements: Sequence[Placement], manifest: Manifest | None = None
    ) -> list[Result]:
        """Returns what the model itself means by its outputs; as for every `Source`."""
        results: list[Result] = self._own_results(manifest or self._manifest, self.head, outputs, placements)
        return results

    def _placed(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        scaled = scaled_pixels(pixels, self._mounting.scaling)
        return scaled.transpose(0, 3, 1, 2) if self._mounting.layout == "channels_first" else scaled


def open_original(record: AdoptionRecord, folder: Path, manifest: Manifest) -> OriginalModel:
    """Returns the model of a run folder as it came; modules that it needs are imported before.

    Args:
        record: of the folder.
        folder: that it is in.
        manifest: of the folder.

    Raises:
        KerasFileError: the file that it came in is damaged.
    """
    adopted = record.adopted
    file = replace(record.model_file(folder), imports=())
    model = with_ends(file.load(), adopted.shape)
    if adopted.in_float32:
        model = in_float32(model)
    return OriginalModel(model, adopted.mounting, manifest)


def with_ends(model: keras.Model, shape: tuple[int | None, ...]) -> keras.Model:
    """Returns a model that knows its inputs and outputs: itself, or one that calls it on an input of that shape."""
    try:
        if model.inputs and model.outputs:
            return model
    except AttributeError:  # Keras has none before the first input
        pass
    image = keras.Input(shape, name="image")
    return keras.Model(image, model(image))


def in_float32(model: keras.Model) -> keras.Model:
    """Returns a model of the same layers and weights that computes in float32, where some compute in fewer bits."""
    config = keras.saving.serialize_keras_object(model)
    plain = keras.saving.deserialize_keras_object(_with_float32(config))
    plain.set_weights(model.get_weights())
    return plain


def _with_float32(config: Any) -> Any:
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy" and "16" in str(config["config"].get("name")):
            return {**config, "config": {"name": "float32"}}
        return {
            key: "float32" if key == "dtype" and isinstance(value, str) and "float16" in value else _with_float32(value)
            for key, value in config.items()
        }
    return [_with_float32(value) for value in config] if isinstance(config, list | tuple) else config


def scaled_pixels(pixels: npt.NDArray[Any], scaling: PixelScaling) -> npt.NDArray[np.float32]:
    """Returns (N, height, width, C) float32 of uint8 pixels, by keras.applications' own arithmetic where it has it."""
    for name, mode in _MODES.items():
        if PIXEL_SCALINGS[name] == scaling:  # type: ignore[index]
            preprocess = keras.applications.imagenet_utils.preprocess_input
            return np.asarray(preprocess(pixels.astype(np.float32), data_format="channels_last", mode=mode), np.float32)
    ordered = pixels[..., ::-1] if scaling.bgr else pixels
    return np.asarray((ordered.astype(np.float64) - scaling.mean) / scaling.std, np.float32)


def trace(model: keras.Model) -> Any:
    """Returns a model in inference mode as one function of its inputs to a flat list of outputs, of any batch size."""

    def call(*inputs: tf.Tensor) -> list[tf.Tensor]:
        given = keras.tree.pack_sequence_as(model.inputs if len(inputs) > 1 else inputs[0], list(inputs))
        outputs = model(given if len(inputs) > 1 else inputs[0], training=False)
        return [tf.cast(output, tf.float32) for output in keras.tree.flatten(outputs)]

    signature = [tf.TensorSpec((None, *shape), dtype) for shape, dtype in inputs_of(model)]
    return tf.function(call, input_signature=signature)


def inputs_of(model: keras.Model) -> list[tuple[tuple[int | None, ...], str]]:
    """Returns the shape, without the batch axis, and the dtype of each input."""
    return [(tuple(tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]


def _changed(output: npt.NDArray[np.float32], change: Change, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Returns an output as a decoder reads it; the layers of the copy do the same by themselves."""
    if change == "log":
        return np.log(np.maximum(output, np.float32(LEAST_SCORE)))
    if change == "both":
        return np.concatenate([1 - output, output], axis=-1)
    return output.reshape(len(output), *shape) if change == "grid" else output
