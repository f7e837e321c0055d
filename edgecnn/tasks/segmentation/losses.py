"""Losses of a class for each pixel, from logits. Pixels of `IGNORE` take no part; a batch of nothing else costs 0."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from edgecnn.data.targets import IGNORE


@keras.saving.register_keras_serializable(package="edgecnn")
class PixelCrossentropy(keras.losses.Loss):
    """Cross-entropy, the mean over the pixels of the batch that are not ignored, each by the weight of its class.

    Args:
        class_weights: one a class, 0 or more; None weighs all alike. Only how they are to each other counts.
        name: of the loss.

    Raises:
        ValueError: a weight is negative, or all are 0.

    Reference:
        Ronneberger et al. 2015, "U-Net", section 3: the softmax of each pixel, and weights that balance the classes.
    """

    def __init__(self, class_weights: Sequence[float] | None = None, name: str = "pixel_crossentropy") -> None:
        super().__init__(name=name)
        self.class_weights = _checked_weights(class_weights)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of a batch, a scalar.

        Args:
            y_true: (N, H, W) class ids and `IGNORE`.
            y_pred: (N, H, W, classes) logits.
        """
        return crossentropy(y_true, y_pred, self.class_weights)

    def get_config(self) -> dict[str, Any]:
        """Returns what the loss is made of."""
        return {"class_weights": self.class_weights, "name": self.name}


@keras.saving.register_keras_serializable(package="edgecnn")
class SoftDice(keras.losses.Loss):
    """1 - the mean Dice coefficient of the classes that are there in the batch, of scores instead of answers.

    Reference:
        Milletari et al. 2016, "V-Net", section 3, with plain sums for its squares in the denominator.
    """

    def __init__(self, name: str = "soft_dice") -> None:
        super().__init__(name=name)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of a batch, as `PixelCrossentropy` does."""
        return soft_dice(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Returns what the loss is made of."""
        return {"name": self.name}


@keras.saving.register_keras_serializable(package="edgecnn")
class CrossentropyAndDice(keras.losses.Loss):
    """The sum of `PixelCrossentropy` and `SoftDice`.

    Args:
        class_weights: of the cross-entropy.
        name: of the loss.

    Reference:
        Isensee et al. 2021, "nnU-Net", methods: the sum of both.
    """

    def __init__(self, class_weights: Sequence[float] | None = None, name: str = "crossentropy_and_dice") -> None:
        super().__init__(name=name)
        self.class_weights = _checked_weights(class_weights)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of a batch, as `PixelCrossentropy` does."""
        return crossentropy(y_true, y_pred, self.class_weights) + soft_dice(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Returns what the loss is made of."""
        return {"class_weights": self.class_weights, "name": self.name}


def crossentropy(y_true: Any, y_pred: Any, class_weights: Sequence[float] | None = None) -> Any:
    """Returns the weighted mean of the pixels' cross-entropies, a scalar; see `PixelCrossentropy`."""
    class_ids, said = _said(y_true)
    if class_weights is not None:
        said = said * ops.take(ops.convert_to_tensor(class_weights, "float32"), class_ids)
    each = ops.sparse_categorical_crossentropy(class_ids, ops.cast(y_pred, "float32"), from_logits=True)
    return ops.divide_no_nan(ops.sum(said * each), ops.sum(said))


def soft_dice(y_true: Any, y_pred: Any) -> Any:
    """Returns 1 - the mean soft Dice coefficient of the classes that are there, a scalar; see `SoftDice`."""
    class_ids, said = _said(y_true)
    scores = ops.softmax(ops.cast(y_pred, "float32"), axis=-1) * said[..., None]
    true = ops.one_hot(class_ids, y_pred.shape[-1], dtype="float32") * said[..., None]
    shared, pixels = (ops.sum(one, axis=(0, 1, 2)) for one in (scores * true, true))  # (classes,)
    is_there = ops.cast(pixels > 0, "float32")
    dice = ops.divide_no_nan(2 * shared, ops.sum(scores, axis=(0, 1, 2)) + pixels)
    return ops.divide_no_nan(ops.sum(is_there * (1 - dice)), ops.sum(is_there))


def _said(y_true: Any) -> tuple[Any, Any]:
    """Returns the class of each pixel, 0 where it is ignored, and 1 or 0: whether something is said of it."""
    class_ids = ops.cast(y_true, "int32")
    is_said = class_ids != IGNORE
    return ops.where(is_said, class_ids, 0), ops.cast(is_said, "float32")


def _checked_weights(class_weights: Sequence[float] | None) -> list[float] | None:
    if class_weights is None:
        return None
    weights = [float(weight) for weight in class_weights]
    if not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise ValueError(f"class_weights: expected numbers from 0, not all of them 0, received {weights}")
    return weights
