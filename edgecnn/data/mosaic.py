"""Four images in one: many small objects in each, and none where the others have always stood."""

from collections.abc import Mapping

import tensorflow as tf

from edgecnn.data.augment_boxes import Move, move_boxes, move_pixels

_CENTER = (0.3, 0.7)  # of height and width, where the four meet
_SCALE = (0.5, 1.2)  # of each of them, unless it needs more to fill its quarter
_CHANCE = 0.5  # the other images stay whole, as those are that a device sees

_Arrays = Mapping[str, tf.Tensor]


def mosaic(pixels: tf.Tensor, arrays: _Arrays, seed: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Lets half of a batch's images keep a quarter of their place, and gives the others to images of the batch.

    Each of the four is scaled by .5 to 1.2, moved at random so that it fills its quarter, and cut. Of its boxes those
    stay that keep .4 of their area there, and whatever is left of those that are not learned.

    Args:
        pixels: (N, height, width, C) uint8.
        arrays: "boxes", (N, K, 4) float32 xyxy in pixels, zeros where an image has fewer than K, and "class_ids",
            (N, K), below 0 of boxes that are not learned.
        seed: (2,), of all that is random.

    Returns:
        The new images, and their arrays, with as many places as the fullest of them needs.

    Reference: Bochkovskiy et al. 2020, YOLOv4, section 3.3.
    """
    count, size = tf.shape(pixels)[0], (pixels.shape[1], pixels.shape[2])
    sides = tf.constant([size[1], size[0]], tf.float32)
    center = sides * tf.random.stateless_uniform((count, 2), seed, *_CENTER)  # (N, x and y)
    mixed = tf.random.stateless_uniform((count,), seed + 1) < _CHANCE
    old, image = tf.cast(pixels, tf.float32), tf.zeros(tf.shape(pixels), tf.float32)
    boxes, class_ids = [], []
    for quarter in range(4):
        beyond = tf.constant([[quarter % 2, quarter // 2]])
        window = center * tf.cast(beyond, tf.float32), tf.where(beyond > 0, sides, center)
        drawn = tf.random.experimental.stateless_shuffle(tf.range(count), seed + 2 + quarter)
        shown = tf.range(count) if quarter == 0 else drawn
        move = _filling(window, sides, seed + 6 + quarter)
        learned = tf.gather(arrays["class_ids"], shown) >= 0
        moved = move_boxes(tf.gather(arrays["boxes"], shown), move, size, window=window, learned=learned)
        boxes.append(tf.where(mixed[:, tf.newaxis, tf.newaxis], moved, arrays["boxes"] if quarter == 0 else 0.0))
        class_ids.append(tf.gather(arrays["class_ids"], tf.where(mixed, shown, tf.range(count))))
        image = tf.where(_within(window, size), move_pixels(tf.gather(old, shown), move), image)
    image = tf.where(mixed[:, tf.newaxis, tf.newaxis, tf.newaxis], image, old)
    moved_arrays = _without_gaps(tf.concat(boxes, axis=1), tf.concat(class_ids, axis=1))
    return tf.ensure_shape(tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), tf.uint8), pixels.shape), moved_arrays


def _filling(window: tuple[tf.Tensor, tf.Tensor], sides: tf.Tensor, seed: tf.Tensor) -> Move:
    """Returns moves after which an image covers a part of the new one, (N, 2) corners each."""
    first, last = window
    drawn = tf.random.stateless_uniform((tf.shape(first)[0], 3), seed)
    scale = tf.maximum(
        _SCALE[0] + (_SCALE[1] - _SCALE[0]) * drawn[:, :1], tf.reduce_max((last - first) / sides, -1)[:, tf.newaxis]
    )
    begin = first - drawn[:, 1:] * (scale * sides - (last - first))  # of the scaled image in the new one
    return Move(tf.repeat(1 / scale, 2, axis=1), -begin / scale)


def _within(window: tuple[tf.Tensor, tf.Tensor], size: tuple[int, int]) -> tf.Tensor:
    """Returns which pixels have their middle in a part, (N, height, width, 1) bool."""
    y, x = (tf.range(side, dtype=tf.float32) + 0.5 for side in size)
    first, last = window
    across = (x >= first[:, :1]) & (x < last[:, :1])  # (N, width)
    down = (y >= first[:, 1:]) & (y < last[:, 1:])
    return (down[:, :, tf.newaxis] & across[:, tf.newaxis])[..., tf.newaxis]


def _without_gaps(boxes: tf.Tensor, class_ids: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the boxes that are there before the empty places, of which as few are left as can be."""
    there = tf.reduce_any(boxes != 0, axis=-1)  # (N, places)
    order = tf.argsort(tf.cast(~there, tf.int32), axis=1, stable=True)
    order = order[:, : tf.maximum(1, tf.reduce_max(tf.reduce_sum(tf.cast(there, tf.int32), axis=1)))]
    return {
        "boxes": tf.gather(boxes, order, axis=1, batch_dims=1),
        "class_ids": tf.gather(class_ids, order, axis=1, batch_dims=1),
    }
