"""What a Keras detector means by its outputs: the source's own answer, which a file is proven against."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn.models.head import Head
from edgecnn.tasks.displayed import displayed_box
from edgecnn_runtime.decoders import RegionsDecoder, YoloDecoder
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.detection import Detections

_MOST_REGION_LOG = 4.135166556742356  # log(1000 / 16), likewise of the boxes of regions
_MOST_LOG_SIZE = 10.0  # exp of more is taken as exp of this, as the file format says


def own_results(
    manifest: Manifest, head: Head, outputs: Mapping[str, npt.NDArray[Any]], placements: Sequence[Placement]
) -> list[Detections]:
    """Returns the boxes that a model means, by TensorFlow's arithmetic and suppression, every cell decoded.

    Args:
        manifest: of the model.
        head: what the outputs come from; they are raw numbers, whatever it is.
        outputs: raw outputs by name, N rows.
        placements: one an image, N of them.

    Raises:
        ManifestError: the manifest is that of a graph which suppresses by itself, as no Keras model does.
    """
    del head
    if manifest.decoder.suppresses == "graph":
        raise ManifestError(
            "the Keras model does not fit its manifest: expected decoder 'yolo' of raw outputs, received "
            f"{manifest.decoder.kind!r}, which edgecnn export --nms graph alone writes."
        )
    if isinstance(manifest.decoder, RegionsDecoder):
        return [
            _answer_of_regions(manifest, manifest.decoder, {name: rows[index] for name, rows in outputs.items()}, place)
            for index, place in enumerate(placements)
        ]
    decoder = cast(YoloDecoder, manifest.decoder)
    decoded = [_decoded(outputs[scale.output], scale.stride, scale.anchors) for scale in decoder.scales]
    boxes = np.concatenate([boxes for boxes, _ in decoded], axis=1)  # (N, M, 4)
    scores = np.concatenate([scores for _, scores in decoded], axis=1)  # (N, M, classes)
    return [
        _answer(manifest, decoder, boxes[index, :, np.newaxis], scores[index], placement)
        for index, placement in enumerate(placements)
    ]


def _decoded(
    raw: npt.NDArray[Any], stride: int, anchors: Sequence[tuple[float, float]]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Returns the boxes of one grid, (N, M, 4) xyxy in pixels of the input, and their scores, (N, M, classes)."""
    numbers = tf.cast(raw, tf.float32)
    count, rows, columns = numbers.shape[:3]
    across, down = tf.meshgrid(tf.range(columns, dtype=tf.float32), tf.range(rows, dtype=tf.float32))
    x = (tf.sigmoid(numbers[..., 0]) + across[..., tf.newaxis]) * stride  # (N, rows, columns, anchors)
    y = (tf.sigmoid(numbers[..., 1]) + down[..., tf.newaxis]) * stride
    width, height = (
        tf.exp(tf.minimum(numbers[..., 2 + axis], _MOST_LOG_SIZE)) * [anchor[axis] for anchor in anchors]
        for axis in (0, 1)
    )
    boxes = tf.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=-1)
    scores = tf.sigmoid(numbers[..., 4:5]) * tf.sigmoid(numbers[..., 5:])
    return tf.reshape(boxes, (count, -1, 4)).numpy(), tf.reshape(scores, (count, -1, scores.shape[-1])).numpy()


def _answer_of_regions(
    manifest: Manifest, decoder: RegionsDecoder, outputs: Mapping[str, npt.NDArray[Any]], placement: Placement
) -> Detections:
    """Returns what is found in one image's regions, by the numbers of each class."""
    count = int(outputs[decoder.valid])
    x1, y1, x2, y2 = tf.split(tf.cast(outputs[decoder.regions][:count], tf.float32), 4, axis=1)  # (n, 1) each
    numbers = tf.cast(outputs[decoder.shifts][:count], tf.float32)
    width, height = x2 - x1, y2 - y1
    x, y = (x1 + x2) / 2 + numbers[..., 0] * width / 10, (y1 + y2) / 2 + numbers[..., 1] * height / 10  # (n, classes)
    half_width = width * tf.exp(tf.minimum(numbers[..., 2] / 5, _MOST_REGION_LOG)) / 2
    half_height = height * tf.exp(tf.minimum(numbers[..., 3] / 5, _MOST_REGION_LOG)) / 2
    boxes = tf.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=-1)
    scores = tf.nn.softmax(tf.cast(outputs[decoder.output][:count], tf.float32))[:, :-1]
    return _answer(manifest, decoder, boxes.numpy(), scores.numpy(), placement)


def _answer(
    manifest: Manifest,
    decoder: YoloDecoder | RegionsDecoder,
    boxes: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    placement: Placement,
) -> Detections:
    """Returns what is left of one image's boxes, (M, classes or 1, 4), and scores, (M, classes)."""
    thresholds = np.array(decoder.thresholds(scores.shape[1]), np.float32)
    cells, class_ids = np.nonzero(scores >= thresholds)
    found = boxes[cells, np.minimum(class_ids, boxes.shape[1] - 1)]
    of_found = scores[cells, class_ids]
    groups = np.zeros_like(class_ids) if decoder.agnostic else class_ids
    kept = [
        own[_suppressed(found[own], of_found[own], decoder)]
        for own in (np.flatnonzero(groups == group) for group in np.unique(groups))
    ]
    left = np.sort(np.concatenate([np.empty(0, np.intp), *kept]))
    left = left[np.argsort(-of_found[left], kind="stable")][: decoder.most]
    needed = np.maximum(thresholds, of_found[left][-1]) if len(left) == decoder.most else thresholds
    return Detections(
        np.array([displayed_box(box, placement) for box in found[left].tolist()], np.float32).reshape(-1, 4),
        of_found[left],
        class_ids[left],
        needed=needed,
        labels=manifest.labels,
        shape=placement.image_size,
    )


def _suppressed(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], decoder: YoloDecoder | RegionsDecoder
) -> npt.NDArray[Any]:
    """Returns which boxes of one group stay; TensorFlow drops above a threshold, and a decoder from it on."""
    above = float(np.nextafter(np.float32(decoder.iou_threshold), np.float32(0)))
    return np.asarray(tf.image.non_max_suppression(boxes, scores, decoder.most, iou_threshold=above))
