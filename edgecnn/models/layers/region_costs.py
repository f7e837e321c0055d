"""What the two halves of Faster R-CNN cost, and R-CNN, its second half: the proposals, and what is said of regions.

Which anchors and regions are learned from is drawn anew each time, among those that fit objects and those that do not,
so these are layers of the model that learns and not losses of its outputs. What they draw follows from the seed of the
epoch, as dropout does.

Reference:
    Ren et al. 2015, "Faster R-CNN", sections 3.1.2 and 3.2 (approximate joint training); Girshick 2015, "Fast R-CNN",
    section 2.3.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from edgecnn.models.layers.regions import moved, shifts_between
from edgecnn_runtime.proposals import LEAST_SIDE
from edgecnn_runtime.tasks.candidates import REGION_DEVIATIONS

FOUND, NOTHING = 0.7, 0.3  # the IoU from which an anchor is to find an object, and below which it is not
OBJECT = 0.5  # the IoU from which a region shows an object; below it shows nothing
_ANCHORS_LEARNED, _ANCHORS_FOUND = 256, 128  # of an image, at most
_PER_OBJECT = 16  # regions around each object, half of them near it
_ANYWHERE = 64  # regions that no object is needed for
_NEAR, _FAR = (0.25, 0.3), (0.7, 0.7)  # how far one moves, in sides, and the logarithm that its sides grow by
_PROPOSED = 0.5  # the IoU of an object that a region reaches
_NOT_HERE = -1
_SMOOTH = 1 / 9  # below it an error counts by its square: the authors' sigma of 3


class _Drawing(keras.layers.Layer):
    """A layer that draws."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._seeds = keras.random.SeedGenerator()

    def _drawn(self, found: tf.Tensor, nothing: tf.Tensor, most_found: int, most: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws among what is found and what is not: as many of the first as there may be, the rest of the second.

        Args:
            found: (N, M) bool.
            nothing: likewise; never both.
            most_found: of the first, an image.
            most: of both.

        Returns:
            Two of (N, M) bool.
        """
        count = tf.shape(found)[1]
        keys = keras.random.uniform(tf.shape(found), seed=self._seeds)
        taken = _first(keys, found, tf.fill(tf.shape(found)[:1], most_found), tf.minimum(most_found, count))
        left = most - tf.reduce_sum(tf.cast(taken, tf.int32), axis=1)
        return taken, _first(keys, nothing, left, tf.minimum(most, count))


@keras.saving.register_keras_serializable(package="edgecnn")
class ProposingCost(_Drawing):
    """What the proposals of an image cost, and the part of its objects that they reach.

    An anchor is to find the object that it overlaps most where that is by an IoU of .7, or where no anchor overlaps
    that object more; it is to find nothing where that is below .3 for all objects. 256 such anchors are drawn, half of
    them with an object where there are so many.

    Args:
        anchors: (M, 4) xyxy in pixels of the input, of all cells.
        options: of every Keras layer.
    """

    def __init__(self, anchors: Sequence[Sequence[float]], **options: Any) -> None:
        super().__init__(**options)
        self._anchors = [list(anchor) for anchor in anchors]

    def call(
        self, objectness: Any, anchor_shifts: Any, regions: Any, valid: Any, boxes: Any, class_ids: Any
    ) -> tf.Tensor:
        """Returns the costs of objectness and of boxes, and the part of the objects that a region reaches, (N, 3).

        Args:
            objectness: (N, rows, columns, anchors), logits.
            anchor_shifts: (N, rows, columns, 4 anchors).
            regions: (N, R, 4).
            valid: (N,) how many of them there are.
            boxes: (N, K, 4) of the objects, zeros where there is none.
            class_ids: (N, K), below 0 of what is neither learned nor denied.
        """
        anchors = tf.constant(self._anchors)
        logits = tf.reshape(objectness, (-1, len(self._anchors)))
        numbers = tf.reshape(anchor_shifts, (-1, len(self._anchors), 4))
        overlaps, denied, learned = _against(anchors[tf.newaxis], boxes, class_ids)  # (N, M, K), (N, M), (N, K)
        best = tf.reduce_max(overlaps, axis=-1)
        of_object = tf.reduce_max(overlaps, axis=1, keepdims=True)
        nearest = tf.reduce_any((overlaps == of_object) & (overlaps > 0), axis=-1)  # anchors that nobody beats
        found = (best >= FOUND) | nearest
        positive, negative = self._drawn(found, ~found & ~denied & (best < NOTHING), _ANCHORS_FOUND, _ANCHORS_LEARNED)
        drawn = tf.cast(positive | negative, tf.float32)
        count = tf.maximum(tf.reduce_sum(drawn, axis=1), 1.0)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(positive, tf.float32), logits)
        to = _shifts(anchors[tf.newaxis], boxes, overlaps)
        errors = tf.where(positive, _smooth(numbers - to), 0.0)
        return tf.stack(
            [
                tf.reduce_sum(entropy * drawn, axis=1) / count,
                tf.reduce_sum(errors, axis=1) / count,
                _reached(regions, valid, boxes, learned),
            ],
            axis=1,
        )

    def compute_output_spec(self, objectness: keras.KerasTensor, *others: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the shape."""
        del others
        return keras.KerasTensor((objectness.shape[0], 3), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the same again."""
        return {**super().get_config(), "anchors": self._anchors}


@keras.saving.register_keras_serializable(package="edgecnn")
class SampledRegions(_Drawing):
    """Draws the regions that are learned from, of those given and the objects' own boxes: a quarter with an object.

    A region shows the object that it overlaps most, where that is by an IoU of .5, and else nothing.

    Args:
        num_classes: of the model; that number stands for nothing.
        count: how many, M; the authors' 128 by default.
        options: of every Keras layer.
    """

    def __init__(self, num_classes: int, count: int = 128, **options: Any) -> None:
        super().__init__(**options)
        self._num_classes, self._count = num_classes, count

    def call(self, regions: Any, valid: Any, boxes: Any, class_ids: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the drawn regions, (N, M, 4), what each shows, (N, M), and the numbers of its box, (N, M, 4).

        What it shows is an id below 0 where there were not enough to draw.

        Args:
            regions: (N, R, 4) as they are proposed; those without a side of a pixel are none.
            valid: (N,) how many of them there are.
            boxes: (N, K, 4) of the objects, zeros where there is none.
            class_ids: (N, K), below 0 of what is neither learned nor denied.
        """
        there = tf.sequence_mask(tf.cast(valid, tf.int32), tf.shape(regions)[1])
        there = there & (tf.reduce_min(regions[..., 2:] - regions[..., :2], axis=-1) >= LEAST_SIDE)
        marked = tf.reduce_min(boxes[..., 2:] - boxes[..., :2], axis=-1) > 0
        every = tf.concat([tf.stop_gradient(regions), boxes], axis=1)  # (N, R + K, 4)
        there = tf.concat([there, marked & (class_ids >= 0)], axis=1)
        overlaps, denied, _ = _against(every, boxes, class_ids)
        best = tf.reduce_max(overlaps, axis=-1)
        found = there & (best >= OBJECT)
        positive, negative = self._drawn(found, there & ~found & ~denied, self._count // 4, self._count)
        ids = tf.gather(tf.cast(class_ids, tf.int32), tf.argmax(overlaps, axis=-1), batch_dims=1)
        shown = tf.where(positive, ids, tf.where(negative, self._num_classes, _NOT_HERE))
        shifts = _shifts(every, boxes, overlaps)
        ranks = tf.cast(positive, tf.int32) * 2 + tf.cast(negative, tf.int32)
        missing = tf.maximum(self._count - tf.shape(ranks)[1], 0)
        ranks = tf.pad(ranks, [[0, 0], [0, missing]])
        _, chosen = tf.math.top_k(ranks, self._count)
        return (
            tf.gather(tf.pad(every, [[0, 0], [0, missing], [0, 0]]), chosen, batch_dims=1),
            tf.gather(tf.pad(shown, [[0, 0], [0, missing]], constant_values=_NOT_HERE), chosen, batch_dims=1),
            tf.gather(tf.pad(shifts, [[0, 0], [0, missing], [0, 0]]), chosen, batch_dims=1) / list(REGION_DEVIATIONS),
        )

    def compute_output_spec(self, regions: keras.KerasTensor, *others: keras.KerasTensor) -> Any:
        """Returns the shapes."""
        del others
        number = (regions.shape[0], self._count)
        shapes = (((*number, 4), "float32"), (number, "int32"), ((*number, 4), "float32"))
        return tuple(keras.KerasTensor(shape, dtype=dtype) for shape, dtype in shapes)

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the same again."""
        return {**super().get_config(), "num_classes": self._num_classes, "count": self._count}


@keras.saving.register_keras_serializable(package="edgecnn")
class RegionsAround(_Drawing):
    """Draws regions near objects, around and inside them, and anywhere: what a search for regions may propose.

    Args:
        image_size: (height, width) of the input in pixels.
        options: of every Keras layer.
    """

    def __init__(self, image_size: tuple[int, int], **options: Any) -> None:
        super().__init__(**options)
        self._image_size = (int(image_size[0]), int(image_size[1]))

    def call(self, boxes: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the regions, (N, R, 4), zeros among them, and R of each image, (N,); it grows with the objects.

        Args:
            boxes: (N, K, 4) of the objects, zeros where there is none.
        """
        height, width = self._image_size
        sides = tf.constant([width, height] * 2, tf.float32)
        shape = tf.shape(boxes)
        near = self._moved(boxes, _PER_OBJECT // 2, *_NEAR)
        far = self._moved(boxes, _PER_OBJECT // 2, *_FAR)
        corners = tf.sort(self._uniform((shape[0], _ANYWHERE, 2, 2)), axis=2)  # (N, 64, first and last, x and y)
        anywhere = tf.reshape(corners, (-1, _ANYWHERE, 4)) * sides
        regions = tf.minimum(tf.maximum(tf.concat([near, far, anywhere], axis=1), 0.0), sides)
        return regions, tf.fill(shape[:1], tf.cast(tf.shape(regions)[1], tf.float32))

    def compute_output_spec(self, boxes: keras.KerasTensor) -> Any:
        """Returns the shapes."""
        number = boxes.shape[0]
        return keras.KerasTensor((number, None, 4), dtype="float32"), keras.KerasTensor((number,), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the same again."""
        return {**super().get_config(), "image_size": list(self._image_size)}

    def _moved(self, boxes: tf.Tensor, count: int, way: float, growth: float) -> tf.Tensor:
        """Returns regions that lie and are sized like the objects, but for some chance, (N, K count, 4)."""
        repeated = tf.repeat(boxes, count, axis=1)
        numbers = self._uniform(tf.shape(repeated)) * 2 - 1
        return moved(repeated, numbers * [way, way, growth, growth])

    def _uniform(self, shape: Any) -> tf.Tensor:
        return keras.random.uniform(shape, seed=self._seeds)


@keras.saving.register_keras_serializable(package="edgecnn")
class RegionCost(keras.layers.Layer):
    """What the answers about the drawn regions of an image cost: cross-entropy, and of what shows an object its box."""

    def call(self, logits: Any, shifts: Any, shown: Any, to: Any) -> tf.Tensor:
        """Returns the costs of classes and boxes, and the part of the regions whose class is right, (N, 3).

        Args:
            logits: (N, R, classes + 1).
            shifts: (N, R, classes, 4).
            shown: (N, R) what each shows, below 0 where there is none.
            to: (N, R, 4) the numbers of its box.
        """
        classes = shifts.shape[2]
        drawn, objects = tf.cast(shown >= 0, tf.float32), (shown >= 0) & (shown < classes)
        count = tf.maximum(tf.reduce_sum(drawn, axis=1), 1.0)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(shown, 0), logits)
        own = tf.gather(shifts, tf.where(objects, shown, 0), batch_dims=2)  # (N, R, 4)
        errors = tf.where(objects, _smooth(own - to, 1.0), 0.0)
        right = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == shown, tf.float32)
        return tf.stack(
            [
                tf.reduce_sum(entropy * drawn, axis=1) / count,
                tf.reduce_sum(errors, axis=1) / count,
                tf.reduce_sum(right * drawn, axis=1) / count,
            ],
            axis=1,
        )

    def compute_output_spec(self, logits: keras.KerasTensor, *others: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the shape."""
        del others
        return keras.KerasTensor((logits.shape[0], 3), dtype="float32")


def _first(keys: tf.Tensor, allowed: tf.Tensor, counts: tf.Tensor, most: tf.Tensor) -> tf.Tensor:
    """Returns which of those that are allowed have the highest keys, `counts` (N,) of each row, (N, M) bool.

    Args:
        keys: (N, M) from 0 to 1.
        allowed: (N, M) bool.
        counts: not above `most`.
        most: a scalar, not above M.
    """
    ranked = tf.where(allowed, keys, -1.0)
    highest = tf.math.top_k(ranked, most).values  # (N, most)
    counts = tf.minimum(counts, most)
    last = tf.gather(highest, tf.maximum(counts - 1, 0)[:, tf.newaxis], batch_dims=1)  # (N, 1)
    return allowed & (ranked >= last) & (counts > 0)[:, tf.newaxis]


def _against(boxes: tf.Tensor, objects: tf.Tensor, class_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the IoU of boxes with what is learned, (N, M, K), where nothing is denied, (N, M), and what is learned.

    A box is not denied where half of it lies in what is not learned, a crowd or a difficult object.

    Args:
        boxes: (N or 1, M, 4).
        objects: (N, K, 4).
        class_ids: (N, K).
    """
    first = tf.maximum(boxes[:, :, tf.newaxis, :2], objects[:, tf.newaxis, :, :2])
    last = tf.minimum(boxes[:, :, tf.newaxis, 2:], objects[:, tf.newaxis, :, 2:])
    shared = tf.reduce_prod(tf.maximum(last - first, 0.0), axis=-1)  # (N, M, K)
    own, others = (tf.reduce_prod(side[..., 2:] - side[..., :2], axis=-1) for side in (boxes, objects))
    union = own[..., tf.newaxis] + others[:, tf.newaxis] - shared
    learned = (others > 0) & (class_ids >= 0)
    overlaps = tf.where(learned[:, tf.newaxis], tf.math.divide_no_nan(shared, union), 0.0)
    inside = (shared > 0.5 * own[..., tf.newaxis]) & (class_ids < 0)[:, tf.newaxis]
    return overlaps, tf.reduce_any(inside, axis=-1), learned


def _shifts(boxes: tf.Tensor, objects: tf.Tensor, overlaps: tf.Tensor) -> tf.Tensor:
    """Returns the numbers that move each box onto the object it overlaps most, (N, M, 4); 0 where it overlaps none."""
    to = tf.gather(objects, tf.argmax(overlaps, axis=-1), batch_dims=1)
    some = tf.reduce_max(overlaps, axis=-1, keepdims=True) > 0
    whole = tf.constant([0.0, 0.0, 1.0, 1.0])
    return shifts_between(tf.where(some, boxes, whole), tf.where(some, to, whole))


def _smooth(errors: tf.Tensor, beta: float = _SMOOTH) -> tf.Tensor:
    """Returns the smooth absolute value of errors, summed over their last axis."""
    sizes = tf.abs(errors)
    return tf.reduce_sum(tf.where(sizes < beta, sizes**2 / (2 * beta), sizes - beta / 2), axis=-1)


def _reached(regions: tf.Tensor, valid: tf.Tensor, boxes: tf.Tensor, learned: tf.Tensor) -> tf.Tensor:
    """Returns the part of the learned objects that a region overlaps by an IoU of .5, (N,); 1 where there are none."""
    there = tf.sequence_mask(tf.cast(valid, tf.int32), regions.shape[1])
    overlaps, _, _ = _against(regions, boxes, tf.where(learned, 0, -1))
    best = tf.reduce_max(tf.where(there[..., tf.newaxis], overlaps, 0.0), axis=1)  # (N, K)
    reached = tf.reduce_sum(tf.cast((best >= _PROPOSED) & learned, tf.float32), axis=1)
    marked = tf.reduce_sum(tf.cast(learned, tf.float32), axis=1)
    return tf.where(marked > 0, tf.math.divide_no_nan(reached, marked), 1.0)
