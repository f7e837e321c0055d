"""What a localizer is trained on: what each output should be, losses, their weights, and the metrics that are shown."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import ops

CLASS_WEIGHT = 0.8  # of the cross-entropy; the rest is the box's. Geron 2019, chapter 14


def encode(arrays: Mapping[str, tf.Tensor], image_size: tuple[int, int]) -> dict[str, tf.Tensor]:
    """Returns what the outputs of a localizer should be; the runtime's decoding undoes it.

    A box is learned as far as the input shows it: what lies beyond is cut off.

    Args:
        arrays: "class_ids" and "boxes" as `arrays` gives them, of one image or of many.
        image_size: (height, width) of the input in pixels.

    Returns:
        "logits", the class ids, and "boxes", (..., 4) float32: centre x, centre y, square root of the width, square
        root of the height, each 0 to 1 of the input.

    Reference:
        Redmon et al. 2015, "You Only Look Once", section 2.2: square roots, because a deviation of some pixels matters
        less in a large box than in a small one.
    """
    sides = tf.constant([image_size[1], image_size[0]] * 2, tf.float32)
    parts = tf.clip_by_value(tf.cast(arrays["boxes"], tf.float32) / sides, 0.0, 1.0)
    first, last = parts[..., :2], parts[..., 2:]
    return {
        "logits": arrays["class_ids"],
        "boxes": tf.concat([(first + last) / 2, tf.sqrt(last - first)], axis=-1),
    }


def losses() -> dict[str, keras.losses.Loss]:
    """Returns the loss of each output: cross-entropy of the logits, mean squared error of the four numbers of a box.

    Reference:
        Geron 2019, "Hands-On Machine Learning", chapter 14, "Classification and Localization".
    """
    return {
        "logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "boxes": keras.losses.MeanSquaredError(),
    }


def loss_weights(class_weight: float | None = None) -> dict[str, float]:
    """Returns the weight of each output's loss, which sum to 1.

    Args:
        class_weight: of the cross-entropy, 0 to 1; None takes `CLASS_WEIGHT`.

    Raises:
        ValueError: it is not from 0 to 1.

    >>> loss_weights(0.75)
    {'logits': 0.75, 'boxes': 0.25}
    """
    class_weight = CLASS_WEIGHT if class_weight is None else class_weight
    if not 0 <= class_weight <= 1:
        raise ValueError(f"class_weight: expected 0 to 1, received {class_weight}")
    return {"logits": class_weight, "boxes": 1 - class_weight}


def metrics() -> Mapping[str, list[keras.metrics.Metric]]:
    """Returns what is shown of each output in training: "accuracy" of the logits, "mean_iou" of the boxes."""
    return {
        "logits": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        "boxes": [keras.metrics.MeanMetricWrapper(encoded_iou, name="mean_iou")],
    }


@keras.saving.register_keras_serializable(package="edgecnn")
def encoded_iou(y_true: Any, y_pred: Any) -> Any:
    """Returns the IoU of boxes as the network gives them, in its input.

    An evaluation scores what is decoded from them, in the displayed image; the two differ where a box leaves the input
    or is of less than a pixel, and in rounding.

    Args:
        y_true: (N, 4) centre x, centre y, square root of the width, square root of the height, each 0 to 1.
        y_pred: likewise; what is beyond counts as 0 or 1.

    Returns:
        (N,) 0 to 1.
    """
    true, answered = ops.cast(y_true, "float32"), ops.clip(ops.cast(y_pred, "float32"), 0.0, 1.0)
    sizes, others = true[..., 2:] ** 2, answered[..., 2:] ** 2
    first = ops.maximum(true[..., :2] - sizes / 2, answered[..., :2] - others / 2)
    last = ops.minimum(true[..., :2] + sizes / 2, answered[..., :2] + others / 2)
    shared = ops.prod(ops.maximum(last - first, 0.0), axis=-1)
    return ops.divide_no_nan(shared, ops.prod(sizes, axis=-1) + ops.prod(others, axis=-1) - shared)
