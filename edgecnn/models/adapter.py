"""A Keras model behind the runtime's `Model` protocol, so that evaluation and parity never ask which one they hold.

It says besides what its outputs mean, without the runtime's decoding: the source's own answer, which an export is
proven against.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn.models.head import check_head, read_head
from edgecnn.tasks.table import TASKS, load
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.results import Result


class KerasModel:
    """Runs a Keras model in inference mode.

    Args:
        model: from the manifest's inputs to the manifest's outputs, in their order.
        manifest: names inputs and outputs.

    Raises:
        ManifestError: the model's inputs or outputs are not those of the manifest, or what it ends in contradicts the
            manifest's decoder; the message says what to write there.
    """

    def __init__(self, model: keras.Model, manifest: Manifest) -> None:
        self._inputs = [spec.name for spec in manifest.inputs]
        self._outputs = [output.name for output in manifest.outputs]
        check_manifest(model, manifest)

        def call(*inputs: tf.Tensor) -> Any:
            return tf.nest.flatten(model(inputs[0] if len(inputs) == 1 else list(inputs), training=False))

        # one trace for all batch sizes: TensorFlow warns of one a size
        signature = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
        self._call = tf.function(call, input_signature=signature)
        self._manifest, self._own_results = manifest, load(TASKS[manifest.task].own_results)
        number = self._outputs.index(manifest.decoder.output)
        self._head = read_head(self._call.get_concrete_function(), number)
        check_head(self._head, manifest.decoder, manifest.outputs[number].shape)

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float32]]:
        """Returns the raw outputs by name.

        Args:
            feeds: one array an input; the image is uint8 (N, height, width, channels).
        """
        outputs = self._call(*(tf.constant(feeds[name]) for name in self._inputs))
        return {name: tensor.numpy() for name, tensor in zip(self._outputs, outputs, strict=True)}

    def results(
        self, outputs: Mapping[str, npt.NDArray[Any]], placements: Sequence[Placement], manifest: Manifest | None = None
    ) -> list[Result]:
        """Returns what the model itself means by its outputs, by its own softmax or sigmoid, or else by Keras'.

        Args:
            outputs: as `run` returns them, N rows.
            placements: one an image, N of them.
            manifest: whose decoder they are read by; None for the model's own.
        """
        results: list[Result] = self._own_results(manifest or self._manifest, self._head, outputs, placements)
        return results


def check_manifest(model: keras.Model, manifest: Manifest) -> None:
    """Compares a model with its manifest.

    Raises:
        ManifestError: the model's inputs or outputs are not those of the manifest.
    """
    model = _with_ends(model)
    names = [tensor.name for tensor in model.inputs]
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    expected = [spec.shape for spec in manifest.inputs]
    if names != [spec.name for spec in manifest.inputs] or shapes != expected:
        raise ManifestError(
            f"the Keras model does not fit its manifest: expected inputs {[i.name for i in manifest.inputs]} of shape "
            f"{expected}, received {names} of shape {shapes}"
        )
    outputs = dict(zip(model.output_names, (tuple(tensor.shape[1:]) for tensor in model.outputs), strict=True))
    declared = {output.name: output.shape for output in manifest.outputs}
    if list(outputs.items()) != list(declared.items()):
        raise ManifestError(
            f"the Keras model does not fit its manifest: expected outputs {declared}, received {outputs}"
        )


def _with_ends(model: keras.Model) -> keras.Model:
    """Returns the same model as one that names its outputs, which a Sequential one does not.

    Raises:
        ManifestError: it does not know its inputs, as a Sequential one without an Input or a class of its own.
    """
    if hasattr(model, "output_names"):
        return model
    try:
        return keras.Model(model.inputs, model.outputs)
    except AttributeError as error:  # Keras has none before the first input
        raise ManifestError(
            f"the Keras model does not fit its manifest: expected a model that knows its inputs, received a "
            f"{type(model).__name__} that does not. Wrap it and save that: image = keras.Input((height, width, "
            'channels), dtype="uint8", name="image"); keras.Model(image, model(image)).'
        ) from error
