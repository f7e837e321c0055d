"""What a Keras segmenter means by its outputs: the source's own answer, which a file is proven against."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn.models.head import Head
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.segmentation import Segmentation


def own_results(
    manifest: Manifest, head: Head, outputs: Mapping[str, npt.NDArray[Any]], placements: Sequence[Placement]
) -> list[Segmentation]:
    """Returns the class of every displayed pixel, by TensorFlow's arithmetic: logits brought to the pixels' places.

    Where the displayed image is larger than its part of the input, logits are taken between their four neighbours;
    where it is smaller, they are averaged as `tf.image.resize` with antialias does.

    Args:
        manifest: of the model.
        head: what the output comes from: logits, or their softmax, which have the same largest one.
        outputs: raw outputs by name, N rows.
        placements: one an image, N of them.
    """
    del head
    logits = outputs[manifest.decoder.output]
    return [
        Segmentation(
            _class_map(tf.cast(row, tf.float32), placement),
            num_classes=manifest.num_classes,
            labels=manifest.labels,
            shape=placement.image_size,
        )
        for row, placement in zip(logits, placements, strict=True)
    ]


def _class_map(logits: tf.Tensor, placement: Placement) -> npt.NDArray[np.uint8]:
    """Returns (H, W) of the displayed image, of logits (height, width, classes) of the input."""
    size, places = placement.image_size, (placement.offset, placement.scale)
    seen = [  # of the logits, those that are of the image
        (max(0, round(offset)), min(limit, round(offset + side * scale)))
        for offset, scale, side, limit in zip(*places, size, logits.shape[:2], strict=True)
    ]
    if any(scale > 1 for scale in placement.scale):
        logits = tf.image.resize(logits[seen[0][0] : seen[0][1], seen[1][0] : seen[1][1]], size, antialias=True)
    else:
        for axis, (offset, scale, side) in enumerate(zip(*places, size, strict=True)):
            logits = _between(logits, (np.arange(side) + 0.5) * scale + offset - 0.5, axis, seen[axis])
    return np.asarray(tf.argmax(logits, axis=-1), np.uint8)


def _between(logits: tf.Tensor, places: npt.NDArray[Any], axis: int, seen: tuple[int, int]) -> tf.Tensor:
    """Returns the logits at places along an axis, between the two neighbours there."""
    first, last = seen[0], seen[1] - 1
    inside = places.clip(first, last)
    low = np.floor(inside).astype(np.int32)
    part = tf.reshape(tf.constant(inside - low, tf.float32), [-1 if number == axis else 1 for number in range(3)])
    below, above = (tf.gather(logits, np.minimum(one, last), axis=axis) for one in (low, low + 1))
    return below + part * (above - below)
