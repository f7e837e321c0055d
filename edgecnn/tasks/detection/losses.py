"""What a detector's outputs cost: darknet's loss of YOLOv3, its parts, and how well the boxes fit meanwhile.

The gradients are those of darknet's yolo_layer.c. There, of x and y as of objectness and classes, the difference of
target and sigmoid is the gradient of the raw number: that of binary cross-entropy, though the paper speaks of squared
errors; of the log sizes it is the plain difference: that of half the squared error.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, NamedTuple

import keras
import tensorflow as tf

from edgecnn.tasks.detection.targets import CLASS, CORNERS, PLACE
from edgecnn_runtime.decoders import YoloScale
from edgecnn_runtime.tasks.anchors import LARGEST_LOG_SIZE

IGNORED = 0.7  # from this IoU with a box on, a prediction that nobody asked for is not blamed; yolov3.cfg
_MOST_AT_ONCE = 32  # boxes an image that all predictions are compared with
Part = Literal["box", "objectness", "class"]
_RAW_BOX, _OBJECT, _CLASSES = slice(0, 4), 4, slice(5, None)  # of the numbers of a cell and anchor


class _Found(NamedTuple):
    """A target beside what a network gives in its places: (N, K, ...), and (N, K) for single numbers.

    Where a box has no place in this grid, `weights` is 0 and the numbers mean nothing, but are finite.
    """

    weights: tf.Tensor
    raw: tf.Tensor
    boxes: tf.Tensor
    class_ids: tf.Tensor
    places: tf.Tensor
    cells: tf.Tensor
    anchors: tf.Tensor


def parts_of_loss(y_true: tf.Tensor, y_pred: tf.Tensor, scale: YoloScale) -> Mapping[Part, tf.Tensor]:
    """Returns the parts of one scale's loss, each summed over an image, (N,).

    - box: of each box with a place here, binary cross-entropy of x and y in the cell and half the squared error of the
      logarithms of width and height by the anchor's, times 2 - w h, its part of the input.
    - objectness: binary cross-entropy of all cells and anchors, but of those whose prediction overlaps a box by an IoU
      above .7 without being its place, or lies in one that is not learned by more than .7 of its own area.
    - class: of each box with a place here, binary cross-entropy of every class.

    Args:
        y_true: (N, K, 8), as `targets.encoder` gives them.
        y_pred: (N, rows, columns, anchors, 5 + classes), raw.
        scale: whose output that is.

    Reference: Redmon and Farhadi 2018, YOLOv3; darknet's yolo_layer.c and yolov3.cfg.
    """
    y_true, y_pred = tf.cast(y_true, tf.float32), tf.cast(y_pred, tf.float32)
    found = _found(y_true, y_pred, scale)
    grid, sides = tf.cast(tf.shape(y_pred)[2:0:-1], tf.float32), found.boxes[..., 2:] - found.boxes[..., :2]
    centres = (found.boxes[..., :2] + found.boxes[..., 2:]) / 2 / scale.stride - found.cells
    weights = found.weights * (2 - tf.reduce_prod(sides / (grid * scale.stride), axis=-1))
    logs = tf.math.log(tf.where(found.weights[..., tf.newaxis] > 0, sides, found.anchors) / found.anchors)
    of_box = tf.reduce_sum(_crossentropy(centres, found.raw[..., :2]), axis=-1)
    of_box += tf.reduce_sum((found.raw[..., 2:4] - logs) ** 2, axis=-1) / 2

    asked = tf.scatter_nd(found.places, found.weights, tf.shape(y_pred)[:4])  # (N, rows, columns, anchors)
    blamed = tf.maximum(asked, 1 - _near(y_true, y_pred, scale))
    classes = tf.one_hot(found.class_ids, tf.shape(y_pred)[-1] - _CLASSES.start)
    of_class = tf.reduce_sum(_crossentropy(classes, found.raw[..., _CLASSES]), axis=-1)
    return {
        "box": tf.reduce_sum(weights * of_box, axis=1),
        "objectness": tf.reduce_sum(blamed * _crossentropy(asked, y_pred[..., _OBJECT]), axis=(1, 2, 3)),
        "class": tf.reduce_sum(found.weights * of_class, axis=1),
    }


class _OfScale:
    """What is computed of one scale's output, and is saved with the model."""

    scale: YoloScale

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the same again."""
        return {**super().get_config(), "scale": asdict(self.scale)}  # type: ignore[misc]  # Keras' class is beside it


@keras.saving.register_keras_serializable(package="edgecnn")
class YoloLoss(_OfScale, keras.losses.Loss):
    """The sum of `parts_of_loss` over an image, in the mean of a batch: one normaliser for what is and is not there.

    Args:
        scale: whose output it is of; a dict of its fields too, as a saved model has it.
        name: as of every Keras loss.
        reduction: likewise.
        dtype: likewise.
    """

    def __init__(
        self,
        scale: YoloScale | Mapping[str, Any],
        *,
        name: str = "yolo_loss",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.scale = _scale(scale)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each image, (N,)."""
        return tf.add_n(list(parts_of_loss(y_true, y_pred, self.scale).values()))


@keras.saving.register_keras_serializable(package="edgecnn")
class PartOfLoss(_OfScale, keras.metrics.Mean):
    """One part of the loss of a scale, in the mean of the images.

    Args:
        scale: as for `YoloLoss`.
        part: of `parts_of_loss`, whose name it has.
        name: as of every Keras metric; the part's by default.
        dtype: likewise.
    """

    def __init__(
        self, scale: YoloScale | Mapping[str, Any], part: Part, *, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name=name or part, dtype=dtype)
        self.scale, self._part = _scale(scale), part

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        del sample_weight
        super().update_state(parts_of_loss(y_true, y_pred, self.scale)[self._part])

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the same again."""
        return {**super().get_config(), "part": self._part}


@keras.saving.register_keras_serializable(package="edgecnn")
class SharedIoU(_OfScale, keras.metrics.Mean):
    """A scale's share of the mean IoU of all objects with what their places give.

    The shares of all scales sum up to the mean: an object counts at the scale that has its place, and divides at every
    one. One that has no place, since another took it, counts 0. Whether an object is found, and as what, it does not
    say: objectness and classes do.

    Args:
        scale: as for `YoloLoss`.
        name: as of every Keras metric.
        dtype: likewise.
    """

    def __init__(self, scale: YoloScale | Mapping[str, Any], *, name: str = "mean_iou", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.scale = _scale(scale)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        del sample_weight
        y_true, y_pred = tf.cast(y_true, tf.float32), tf.cast(y_pred, tf.float32)
        found = _found(y_true, y_pred, self.scale)
        boxes = _decoded(found.raw, found.cells, found.anchors, self.scale.stride)
        shared = _shared(boxes, found.boxes)
        union = _area(boxes) + _area(found.boxes) - shared
        counted = tf.cast((_area(found.boxes) > 0) & (y_true[..., CLASS] >= 0), tf.float32)
        super().update_state(found.weights * tf.math.divide_no_nan(shared, union), sample_weight=counted)


def _scale(scale: YoloScale | Mapping[str, Any]) -> YoloScale:
    if isinstance(scale, YoloScale):
        return scale
    anchors = tuple((float(width), float(height)) for width, height in scale["anchors"])
    return YoloScale(str(scale["output"]), int(scale["stride"]), anchors)


def _found(y_true: tf.Tensor, y_pred: tf.Tensor, scale: YoloScale) -> _Found:
    places = tf.cast(y_true[..., PLACE], tf.int32)  # (N, K, 3)
    weights = tf.cast(places[..., 2] >= 0, tf.float32)
    places = tf.maximum(places, 0)
    images = tf.broadcast_to(tf.range(tf.shape(places)[0])[:, tf.newaxis, tf.newaxis], tf.shape(places[..., :1]))
    indices = tf.concat([images, places], axis=-1)
    cells = tf.cast(places[..., 1::-1], tf.float32)  # column before row
    return _Found(
        weights,
        tf.gather_nd(y_pred, indices),
        y_true[..., CORNERS],
        tf.cast(y_true[..., CLASS], tf.int32),
        indices,
        cells,
        tf.gather(tf.constant(scale.anchors, tf.float32), places[..., 2]),
    )


def _near(y_true: tf.Tensor, y_pred: tf.Tensor, scale: YoloScale) -> tf.Tensor:
    """Says of each cell and anchor whether its box is near one, 0 or 1, (N, rows, columns, anchors); no gradient.

    An image of hundreds of boxes would take gigabytes at once, so they are gone through some at a time.
    """
    raw = tf.stop_gradient(y_pred[..., _RAW_BOX])
    rows, columns = tf.range(tf.shape(raw)[1]), tf.range(tf.shape(raw)[2])
    cells = tf.cast(tf.stack(tf.meshgrid(columns, rows), axis=-1), tf.float32)[:, :, tf.newaxis]
    boxes = _decoded(raw, cells, tf.constant(scale.anchors, tf.float32), scale.stride)[..., tf.newaxis, :]
    own, places = _area(boxes), tf.shape(y_true)[1]
    parts = tf.maximum(1, -(-places // _MOST_AT_ONCE))
    of_part = -(-places // parts)
    filled = tf.pad(y_true, [[0, 0], [0, parts * of_part - places], [0, 0]])  # a box of zeros is near none
    filled = tf.reshape(filled, (-1, 1, 1, 1, parts, of_part, filled.shape[-1]))

    def gather(part: tf.Tensor, near: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        some = tf.gather(filled, part, axis=4)  # (N, 1, 1, 1, boxes, 8)
        truths = some[..., CORNERS]
        shared = _shared(boxes, truths)  # (N, rows, columns, anchors, boxes)
        of = tf.where(some[..., CLASS] >= 0, own + _area(truths) - shared, own)
        return part + 1, near | tf.reduce_any(shared > IGNORED * of, axis=-1)

    near = tf.zeros(tf.shape(raw)[:4], tf.bool)
    _, near = tf.while_loop(lambda part, _: part < parts, gather, (0, near), parallel_iterations=1)
    return tf.cast(near, tf.float32)


def _decoded(raw: tf.Tensor, cells: tf.Tensor, anchors: tf.Tensor, stride: int) -> tf.Tensor:
    """Returns xyxy in pixels of the input, as `edgecnn_runtime.tasks.anchors.boxes_of` means raw numbers."""
    centres = (tf.sigmoid(raw[..., :2]) + cells) * stride
    halves = anchors * tf.exp(tf.minimum(raw[..., 2:4], LARGEST_LOG_SIZE)) / 2
    return tf.concat([centres - halves, centres + halves], axis=-1)


def _shared(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    return _side(boxes, others, 0) * _side(boxes, others, 1)


def _side(boxes: tf.Tensor, others: tf.Tensor, axis: int) -> tf.Tensor:
    """Returns how far two boxes are in one another along x or y."""
    last = tf.minimum(boxes[..., 2 + axis], others[..., 2 + axis])
    return tf.maximum(last - tf.maximum(boxes[..., axis], others[..., axis]), 0.0)


def _area(boxes: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(boxes[..., 2:] - boxes[..., :2], axis=-1)


def _crossentropy(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)


@keras.saving.register_keras_serializable(package="edgecnn")
class OwnCost(keras.losses.Loss):
    """The sum of the first two numbers that a model gives for an image: what it says that it costs."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the cost of each image, (N,)."""
        del y_true
        return y_pred[:, 0] + y_pred[:, 1]


@keras.saving.register_keras_serializable(package="edgecnn")
class OwnNumber(keras.metrics.Mean):
    """The mean of one of the numbers that a model gives for an image.

    Args:
        place: of the number.
        name: as of every Keras metric.
        dtype: likewise.
    """

    def __init__(self, place: int, *, name: str, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._place = place

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        del y_true, sample_weight
        super().update_state(y_pred[:, self._place])

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the same again."""
        return {**super().get_config(), "place": self._place}
