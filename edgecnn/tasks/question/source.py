"""What a Keras model means by the scores of its answers: the source's own, which a file is proven against."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn.models.head import Head
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.question import Answer


def own_results(
    manifest: Manifest, head: Head, outputs: Mapping[str, npt.NDArray[Any]], placements: Sequence[Placement]
) -> list[Answer]:
    """Returns the scores of the answers by the model's own softmax, or else by Keras'.

    Args:
        manifest: of the model.
        head: what the model ends in.
        outputs: raw outputs by name, N rows.
        placements: one a question, N of them.
    """
    own = tf.cast(outputs[manifest.decoder.output], tf.float32)
    scores = np.asarray(own if head == "softmax" else keras.ops.softmax(own))
    return [
        Answer(row, labels=manifest.labels, shape=placement.image_size)
        for row, placement in zip(scores, placements, strict=True)
    ]
