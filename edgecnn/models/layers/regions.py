"""Layers for regions of a picture: which of them a network proposes, and what a map holds there.

Boxes are xyxy in pixels of the network's input throughout, so that a layer's numbers mean what the manifest's mean.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn_runtime.decoders import YoloScale
from edgecnn_runtime.proposals import LEAST_SIDE
from edgecnn_runtime.tasks.anchors import cells_at
from edgecnn_runtime.tasks.candidates import LARGEST_REGION_LOG

_NEVER = -1.0  # the score of those


def anchor_boxes(anchors: Sequence[tuple[float, float]], map_size: tuple[int, int], stride: int) -> npt.NDArray[Any]:
    """Returns the boxes of all anchors, in the middle of each cell of a map, row by row, cell by cell.

    Args:
        anchors: (width, height) of each, in pixels.
        map_size: rows and columns.
        stride: pixels that a cell is wide and high.

    Returns:
        (rows * columns * anchors, 4) float32.
    """
    shape = (*map_size, len(anchors))
    cells = cells_at(np.arange(np.prod(shape)), shape, YoloScale("anchors", stride, tuple(anchors)))
    centres, halves = (cells.corners + 0.5) * cells.strides, cells.anchors / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def moved(boxes: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
    """Returns where the four numbers of each box move it, (..., 4).

    The centre moves by so many widths and heights; the sides are multiplied by the exponentials of the others, which
    are cut at log(1000 / 16).

    Args:
        boxes: (..., 4).
        shifts: (..., 4).

    Reference: Ren et al. 2015, "Faster R-CNN", section 3.1.2.
    """
    sides = boxes[..., 2:] - boxes[..., :2]
    centres = boxes[..., :2] + sides / 2 + shifts[..., :2] * sides
    halves = sides * tf.exp(tf.minimum(shifts[..., 2:], LARGEST_REGION_LOG)) / 2
    return tf.concat([centres - halves, centres + halves], axis=-1)


def shifts_between(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Returns the four numbers that move boxes onto others, (..., 4); undoes `moved`. No box may be empty."""
    sides, to = boxes[..., 2:] - boxes[..., :2], others[..., 2:] - others[..., :2]
    way = (others[..., :2] + others[..., 2:] - boxes[..., :2] - boxes[..., 2:]) / 2
    return tf.concat([way / sides, tf.math.log(to / sides)], axis=-1)


@keras.saving.register_keras_serializable(package="edgecnn")
class Proposals(keras.layers.Layer):
    """Proposes a fixed number of regions: the likeliest anchors, moved, of those that overlap the likeliest.

    Of the `looked_at` likeliest anchors the moved boxes are cut at the borders of the picture, and a box goes that
    overlaps a likelier one by an IoU above `iou_threshold`. In ONNX these are TopK and NonMaxSuppression, and no loop.

    Args:
        anchors: (width, height) of each, in pixels of the input.
        image_size: (height, width) of the input in pixels.
        stride: pixels that a cell of the map is wide and high.
        count: how many regions there are, those that mean nothing among them; not more than anchors.
        looked_at: how many anchors at most.
        iou_threshold: see above.
        options: of every Keras layer.

    Reference:
        Ren et al. 2015, "Faster R-CNN", section 3.3.
    """

    def __init__(
        self,
        anchors: Sequence[tuple[float, float]],
        image_size: tuple[int, int],
        stride: int,
        count: int,
        *,
        looked_at: int = 1000,
        iou_threshold: float = 0.7,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        height, width = image_size
        self._config: dict[str, Any] = {
            "anchors": [list(anchor) for anchor in anchors],
            "image_size": [height, width],
            "stride": stride,
            "count": count,
            "looked_at": looked_at,
            "iou_threshold": iou_threshold,
        }
        self._sides = (float(width), float(height))
        self.boxes = anchor_boxes([(a, b) for a, b in anchors], (height // stride, width // stride), stride)

    def call(self, objectness: Any, shifts: Any) -> tuple[Any, Any]:
        """Returns the regions, (N, count, 4), likeliest first and zeros at the end, and how many there are, (N,).

        Args:
            objectness: (N, rows, columns, anchors), logits.
            shifts: (N, rows, columns, 4 anchors).
        """
        config, count = self._config, int(self._config["count"])
        scores = tf.reshape(objectness, (-1, len(self.boxes)))  # (N, M)
        numbers = tf.reshape(shifts, (-1, len(self.boxes), 4))
        best, which = tf.math.top_k(scores, min(int(config["looked_at"]), len(self.boxes)))
        boxes = moved(tf.gather(tf.constant(self.boxes), which), tf.gather(numbers, which, batch_dims=1))
        boxes = tf.minimum(tf.maximum(boxes, 0.0), tf.constant(self._sides * 2))
        there = tf.reduce_min(boxes[..., 2:] - boxes[..., :2], axis=-1) >= LEAST_SIDE
        ranks = np.arange(best.shape[1], 0, -1, dtype=np.float32)  # in place of scores: none of them are equal
        kept = tf.image.combined_non_max_suppression(
            boxes[:, :, tf.newaxis],
            tf.where(there, ranks, _NEVER)[..., tf.newaxis],
            count,
            count,
            float(config["iou_threshold"]),
            0.0,
            clip_boxes=False,
        )
        return kept.nmsed_boxes, tf.cast(kept.valid_detections, tf.float32)

    def compute_output_spec(
        self, objectness: keras.KerasTensor, shifts: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Returns the shapes of both."""
        del shifts
        number = objectness.shape[0]
        shape = (number, int(self._config["count"]), 4)
        return keras.KerasTensor(shape, dtype="float32"), keras.KerasTensor((number,), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the same again."""
        return {**super().get_config(), **self._config}


@keras.saving.register_keras_serializable(package="edgecnn")
class Warped(keras.layers.Layer):
    """Cuts each region out of its image, with some of what is around it, and warps it to one size.

    Every pixel of the result is interpolated between the four nearest of the image; beyond a border lie its pixels.
    Regions without a side of a pixel are left out, but for an image's first, so that they cost no work: the first axis
    of the result has one place for each other region, those of an image after each other.

    Args:
        size: pixels of the result along either axis.
        options: of every Keras layer.

    Reference:
        Girshick et al. 2014, "Rich feature hierarchies for accurate object detection and semantic segmentation",
        appendix A: 16 pixels of context at a size of 227.
    """

    _CONTEXT = 16 / (227 - 2 * 16)  # of a region's side, on either side of it

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(**options)
        self._size = size

    def call(self, image: Any, regions: Any) -> Any:
        """Returns float32 (V, size, size, channels), of V regions.

        Args:
            image: (N, rows, columns, channels).
            regions: (N, R, 4) within the image.
        """
        rows, columns, channels = image.shape[1:]
        places = _there(regions)  # (V, 2)
        taken = tf.gather_nd(regions, places)  # (V, 4)
        first = tf.cast(places[:, :1], tf.int32) * (rows * columns)  # (V, 1) of the image's pixels
        flat = tf.reshape(tf.cast(image, tf.float32), (-1, channels))
        top, bottom, down = self._neighbours(taken[:, 1], taken[:, 3], rows)  # (V, size) each
        left, right, across = self._neighbours(taken[:, 0], taken[:, 2], columns)
        above, below = (self._between(flat, row * columns + first, (left, right), across) for row in (top, bottom))
        return above + (below - above) * down[..., tf.newaxis, tf.newaxis]

    def compute_output_spec(self, image: keras.KerasTensor, regions: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the shape."""
        del regions
        return keras.KerasTensor((None, self._size, self._size, image.shape[-1]), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the same again."""
        return {**super().get_config(), "size": self._size}

    def _neighbours(self, first: Any, last: Any, cells: int) -> tuple[Any, Any, Any]:
        """Returns the pixels before and behind each of the result's, and how far it is between them, (V, size) each."""
        context = (last - first) * self._CONTEXT
        begin, side = first - context, last - first + 2 * context
        points = (np.arange(self._size, dtype=np.float32) + 0.5) / self._size
        places = begin[:, tf.newaxis] + side[:, tf.newaxis] * points - 0.5
        places = tf.minimum(tf.maximum(places, 0.0), float(cells - 1))
        before = tf.floor(places)
        behind = tf.minimum(before + 1.0, float(cells - 1))
        return tf.cast(before, tf.int32), tf.cast(behind, tf.int32), places - before

    @staticmethod
    def _between(flat: Any, rows: Any, columns: tuple[Any, Any], across: Any) -> Any:
        """Returns what lies between two columns in some rows, (V, size, size, channels).

        Args:
            flat: (pixels, channels).
            rows: (V, size) the first pixel of each.
            columns: twice (V, size).
            across: (V, size) how far it is from one to the other.
        """
        left, right = (tf.gather(flat, rows[:, :, tf.newaxis] + column[:, tf.newaxis]) for column in columns)
        return left + (right - left) * across[:, tf.newaxis, :, tf.newaxis]


@keras.saving.register_keras_serializable(package="edgecnn")
class InPlaces(keras.layers.Layer):
    """Gives the rows of `Warped`'s regions the places of the regions, and zeros to the others: (V, n) to (N, R, n)."""

    def call(self, rows: Any, regions: Any) -> Any:
        """Returns the rows of each image.

        Args:
            rows: (V, n).
            regions: (N, R, 4) as `Warped` took them.
        """
        places = _there(regions)
        shape = tf.stack([tf.shape(regions, tf.int64)[0], regions.shape[1], rows.shape[-1]])
        return tf.scatter_nd(places, rows, shape)

    def compute_output_spec(self, rows: keras.KerasTensor, regions: keras.KerasTensor) -> keras.KerasTensor:
        """Returns their shape."""
        return keras.KerasTensor((*regions.shape[:2], rows.shape[-1]), dtype=rows.dtype)


@keras.saving.register_keras_serializable(package="edgecnn")
class Counted(keras.layers.Layer):
    """Counts the regions of an image, (N, R, 4) to float32 (N,): those with a side of a pixel or more."""

    def call(self, regions: Any) -> Any:
        """Returns how many there are."""
        return tf.reduce_sum(tf.cast(_have_sides(regions), tf.float32), axis=-1)

    def compute_output_spec(self, regions: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the shape."""
        return keras.KerasTensor(regions.shape[:1], dtype="float32")


def _have_sides(regions: Any) -> Any:
    return tf.reduce_min(regions[..., 2:] - regions[..., :2], axis=-1) >= LEAST_SIDE


def _there(regions: Any) -> Any:
    """Returns image and place of each region, (V, 2) int64; an image's first is one always, since no batch is empty."""
    return tf.where(_have_sides(regions) | (np.arange(regions.shape[1]) == 0))


@keras.saving.register_keras_serializable(package="edgecnn")
class RoIAlign(keras.layers.Layer):
    """Gives what a map holds in each region, resampled to `size` x `size` cells, by two matrix products.

    A cell is the mean of 2 x 2 points in it, each interpolated between the four nearest cells of the map, whose middles
    lie half a cell inside. Interpolation along height and along width are each a matrix, so both are products, first
    the rows and then the columns: no gather, no transpose. Equal to ONNX's RoiAlign with half_pixel and a sampling
    ratio of 2.

    Args:
        size: cells of the result along either axis.
        stride: pixels of the input that a cell of the map is wide and high.
        options: of every Keras layer.

    Reference:
        He et al. 2017, "Mask R-CNN", section 3; https://onnx.ai/onnx/operators/onnx__RoiAlign.html.
    """

    _POINTS = 2  # in a cell, along either axis
    _TOGETHER = 20  # regions: what the first product gives of them stays in a cache for the second

    def __init__(self, size: int, stride: int, **options: Any) -> None:
        super().__init__(**options)
        self._size, self._stride = size, stride

    def call(self, features: Any, regions: Any) -> Any:
        """Returns (N, R, size, size, channels).

        Args:
            features: (N, rows, columns, channels).
            regions: (N, R, 4) within the input.
        """
        rows, columns, channels = features.shape[1:]
        count, size = regions.shape[1], self._size
        down = self._weights(regions[..., 1], regions[..., 3], rows)  # (N, R, size, rows)
        across = self._weights(regions[..., 0], regions[..., 2], columns)  # (N, R, size, columns)
        flat, parts = tf.reshape(features, (-1, rows, columns * channels)), []
        for first in range(0, count, self._TOGETHER):
            some = min(self._TOGETHER, count - first)
            picked = tf.matmul(tf.reshape(down[:, first : first + some], (-1, some * size, rows)), flat)
            picked = tf.reshape(picked, (-1, some, size, columns, channels))
            parts.append(tf.matmul(across[:, first : first + some, tf.newaxis], picked))
        return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    def compute_output_spec(self, features: keras.KerasTensor, regions: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the shape."""
        shape = (regions.shape[0], regions.shape[1], self._size, self._size, features.shape[-1])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns what makes the same again."""
        return {**super().get_config(), "size": self._size, "stride": self._stride}

    def _weights(self, first: Any, last: Any, cells: int) -> Any:
        """Returns the parts that the map's cells have in the result's, along one axis: (N, R, size, cells).

        Args:
            first: (N, R) where the regions begin, in pixels.
            last: (N, R) where they end.
            cells: of the map.
        """
        points = (np.arange(self._size * self._POINTS, dtype=np.float32) + 0.5) / (self._size * self._POINTS)
        weights = 0.0
        for some in (points[first_point :: self._POINTS] for first_point in range(self._POINTS)):  # (size,)
            places = first[..., tf.newaxis] + (last - first)[..., tf.newaxis] * some  # (N, R, size)
            places = tf.minimum(tf.maximum(places / self._stride - 0.5, 0.0), float(cells - 1))
            apart = tf.abs(places[..., tf.newaxis] - np.arange(cells, dtype=np.float32))
            weights += tf.maximum(1.0 - apart, 0.0)  # (N, R, size, cells)
        return weights / self._POINTS
