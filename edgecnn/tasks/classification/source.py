"""What a Keras classifier means by its outputs: the source's own answer, which a file is proven against."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn.models.head import Head
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.classification import Classification

# what makes scores of raw outputs, by the decoder's kind
_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "softmax": keras.ops.softmax,
    "distance": lambda distances: keras.ops.softmax(-distances),
    "sigmoid": keras.ops.sigmoid,
    "probabilities": lambda scores: scores,
}


def own_results(
    manifest: Manifest, head: Head, outputs: Mapping[str, npt.NDArray[Any]], placements: Sequence[Placement]
) -> list[Classification]:
    """Returns the class scores that a model itself gives: by its own softmax or sigmoid, or else by Keras'.

    Args:
        manifest: of the model.
        head: what the model ends in.
        outputs: raw outputs by name, N rows.
        placements: one an image, N of them.
    """
    own = tf.cast(outputs[manifest.decoder.output], tf.float32)
    if head not in ("softmax", "sigmoid"):
        own = _ACTIVATIONS[manifest.decoder.kind](own)
    if own.shape[-1] == 1:
        own = keras.ops.concatenate([1 - own, own], axis=-1)
    scores = np.asarray(own, np.float32)  # (N, classes)
    return [
        Classification(row, labels=manifest.labels, shape=placement.image_size)
        for row, placement in zip(scores, placements, strict=True)
    ]
