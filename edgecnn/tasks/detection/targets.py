"""Which cell and anchor answers for each box: what the outputs of a detector are compared with.

A target is no grid but the list of boxes, each with its place in the grid where it has one there. The loss needs the
boxes themselves, to know which predictions come close to one without being asked for it; and a grid of 80 classes
would be 43 MB for 16 images of 416 x 416, of which a few dozen numbers say something.
"""

from collections.abc import Sequence

import tensorflow as tf

from edgecnn.training.trainee import Arrays, Encode, Size
from edgecnn_runtime.decoders import YoloScale

# The numbers of one box in a target, float32
CORNERS = slice(0, 4)  # xyxy in pixels of the network's input; all 0 where there is no box
CLASS = 4  # `outputs.NOT_LEARNED` of what is not learned
PLACE = slice(5, 8)  # row, column and anchor in this scale's grid, -1 where the box has none there
NUMBERS = 8


def encoder(scales: Sequence[YoloScale]) -> Encode:
    """Returns what makes a target for each scale of the arrays and the input's (height, width), for tf.data.

    A box has one place in all: the anchor whose size fits it best over all scales, of equal ones the first, in the cell
    where its centre lies. Of several boxes with the same place the last one is learned, as in darknet; the others have
    none. The targets are (N, K, 8) float32: see the constants of this module.

    Args:
        scales: of the decoder.

    Reference: Redmon and Farhadi 2018, YOLOv3, section 2.1; darknet's yolo_layer.c.
    """
    sizes = tf.constant([anchor for scale in scales for anchor in scale.anchors], tf.float32)  # (A, 2)

    def encode(arrays: Arrays, image_size: Size) -> dict[str, tf.Tensor]:
        boxes = tf.cast(arrays["boxes"], tf.float32)  # (N, K, 4)
        class_ids = tf.cast(arrays["class_ids"], tf.float32)  # (N, K)
        best = _best_anchors(boxes[..., 2:] - boxes[..., :2], sizes)  # (N, K)
        learned = tf.reduce_all(boxes[..., 2:] > boxes[..., :2], axis=-1) & (class_ids >= 0)
        centres = (boxes[..., :2] + boxes[..., 2:]) / 2
        targets, first = {}, 0
        for scale in scales:
            anchor = best - first
            cells = _cells(centres, scale.stride, image_size)  # (N, K, 2)
            here = learned & (anchor >= 0) & (anchor < len(scale.anchors))
            place = tf.concat([cells, anchor[..., tf.newaxis]], axis=-1)
            place = tf.where(here[..., tf.newaxis], place, -1)
            place = tf.where(_taken_later(place)[..., tf.newaxis], -1, place)
            targets[scale.output] = tf.concat([boxes, class_ids[..., tf.newaxis], tf.cast(place, tf.float32)], axis=-1)
            first += len(scale.anchors)
        return targets

    return encode


def _best_anchors(sizes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Returns which anchor fits each box best where both lie on one centre, (N, K) int32; of equal ones the first."""
    shared = tf.reduce_prod(tf.minimum(sizes[..., tf.newaxis, :], anchors), axis=-1)  # (N, K, A)
    union = tf.reduce_prod(sizes, axis=-1)[..., tf.newaxis] + tf.reduce_prod(anchors, axis=-1) - shared
    return tf.argmax(shared / union, axis=-1, output_type=tf.int32)


def _cells(centres: tf.Tensor, stride: int, image_size: Size) -> tf.Tensor:
    """Returns row and column of the cell that each centre lies in, int32; beyond the grid of the nearest one."""
    last = tf.cast(image_size, tf.int32) // stride - 1
    return tf.clip_by_value(tf.cast(tf.floor(centres[..., ::-1] / stride), tf.int32), 0, last)


def _taken_later(place: tf.Tensor) -> tf.Tensor:
    """Says of each box whether a later one of its image has the same place, (N, K) bool."""
    same = tf.reduce_all(place[:, :, tf.newaxis] == place[:, tf.newaxis], axis=-1)  # (N, K, K)
    count = tf.shape(place)[1]
    later = tf.range(count)[:, tf.newaxis] < tf.range(count)
    return tf.reduce_any(same & later, axis=-1)
