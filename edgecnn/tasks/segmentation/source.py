"""What a Keras segmenter means by its outputs: the source's own answer, which a file is proven against."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn.models.head import Head
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.segmentation import Segmentation

_ROUNDING = 1e-6  # of a logit's width


def own_results(
    manifest: Manifest, head: Head, outputs: Mapping[str, npt.NDArray[Any]], placements: Sequence[Placement]
) -> list[Segmentation]:
    """Returns the class of every displayed pixel, by TensorFlow's arithmetic: logits brought to the pixels' places.

    Logits are weighted by their distance from a pixel's middle, as `tf.image.resize` does with antialias. A pixel that
    the network did not see whole, as a crop leaves some, is of the class of the nearest one that it did.

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
    numbers = zip(placement.image_size, logits.shape[:2], placement.scale, placement.offset, strict=True)
    edges = rows, columns = [_Edges.of(*each) for each in numbers]
    whole = tf.raw_ops.ScaleAndTranslate(
        images=logits[tf.newaxis, rows.first : rows.stop, columns.first : columns.stop],
        size=[axis.end - axis.begin for axis in edges],
        scale=[1 / scale for scale in placement.scale],
        translation=[
            (axis.first - offset) / scale - axis.begin
            for axis, scale, offset in zip(edges, placement.scale, placement.offset, strict=True)
        ],
        kernel_type="triangle",
        antialias=True,
    )
    seen = np.asarray(tf.argmax(whole[0], axis=-1), np.uint8)
    return seen[np.ix_(*(axis.nearest_seen(side) for axis, side in zip(edges, placement.image_size, strict=True)))]


class _Edges(NamedTuple):
    """Where an axis of an image and the logits of it begin and end.

    Attributes:
        first: the first logit that is of the image.
        stop: the one after the last.
        begin: the first pixel of the image that the network saw whole; if there is none, the one in the middle.
        end: the one after the last.
    """

    first: int
    stop: int
    begin: int
    end: int

    @classmethod
    def of(cls, side: int, size: int, scale: float, offset: float) -> "_Edges":
        """Returns them for an image of so many pixels and so many logits; scale and offset as of its `Placement`."""
        pixels = np.arange(side)
        whole = (pixels * scale + offset > -_ROUNDING) & ((pixels + 1) * scale + offset < size + _ROUNDING)
        seen = np.flatnonzero(whole) if whole.any() else np.array([side // 2])
        first, stop = max(0, round(offset)), min(size, round(offset + side * scale))
        return cls(first, max(stop, first + 1), int(seen[0]), int(seen[-1]) + 1)

    def nearest_seen(self, side: int) -> npt.NDArray[np.int64]:
        """Returns of each of so many pixels the nearest that was seen whole, counted from the first such."""
        return np.arange(side).clip(self.begin, self.end - 1) - self.begin
