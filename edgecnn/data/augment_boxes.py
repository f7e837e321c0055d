"""Random changes to images and the boxes in them, together.

Flip, shift, scale and crop stretch and move along the two axes alone, so any number of them is one such move: the
pixels are resampled once, and the boxes follow by the same arithmetic.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import tensorflow as tf

LEAST_VISIBLE = 0.4  # of a box's area: one that keeps less in the image is dropped
_FILL = 127.0  # gray, where a moved image ends: repeating its edge would stretch an object beyond its box
_SHORTEST = 1.0  # pixel: what is left of a box is no object
_SHIFT, _SCALE, _CROP = 0.1, (0.7, 1.4), 0.6
_COLOR, _BRIGHTNESS = 0.2, 0.2

_Changed = tuple[tf.Tensor, tf.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """Where each place of N new images lies in the old ones: old = factor * new + offset, x and y apart.

    Attributes:
        factor: (N, 2) float32; negative where an axis is mirrored.
        offset: (N, 2) float32, in pixels from the edge of the image.
    """

    factor: tf.Tensor
    offset: tf.Tensor

    def after(self, first: "Move") -> "Move":
        """Returns the move that is this one behind another."""
        return Move(first.factor * self.factor, first.factor * self.offset + first.offset)

    def or_none(self, stays: tf.Tensor) -> "Move":
        """Returns the same move, and none of the images where `stays`, (N,) bool, is true."""
        stays = stays[:, tf.newaxis]
        return Move(tf.where(stays, 1.0, self.factor), tf.where(stays, 0.0, self.offset))


def move_pixels(pixels: tf.Tensor, move: Move) -> tf.Tensor:
    """Returns the moved images, gray where nothing of the old ones lies.

    Args:
        pixels: (N, height, width, C) float32.
        move: of the N images.
    """
    factor, zero = move.factor, tf.zeros_like(move.factor[:, 0])
    offset = move.offset + factor / 2 - 0.5  # the operator counts the middles of pixels, and a move their edges
    rows = (factor[:, 0], zero, offset[:, 0], zero, factor[:, 1], offset[:, 1], zero, zero)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=tf.stack(rows, axis=1),
        output_shape=tf.shape(pixels)[1:3],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=_FILL,
    )


def move_boxes(
    boxes: tf.Tensor,
    move: Move,
    size: tuple[int, int],
    *,
    window: tuple[tf.Tensor, tf.Tensor] | None = None,
    least_visible: float = LEAST_VISIBLE,
    learned: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns the moved boxes, cut to the image, or to a part of it; of those that lose too much, zeros.

    Boxes that are not learned, round groups and difficult objects, say where nobody is blamed for an answer: whatever
    is left of them stays.

    Args:
        boxes: (N, K, 4) float32, xyxy in pixels; zeros where an image has fewer than K.
        move: of the N images.
        size: height and width of the images.
        window: of each image the first and the last corner of the part, (N, 2) x and y each; None for all of it.
        least_visible: the part of a moved box's area that must stay.
        learned: (N, K) bool, which boxes are; None for all.
    """
    corners = tf.reshape(boxes, (tf.shape(boxes)[0], -1, 2, 2))  # (N, K, corner, axis)
    corners = (corners - move.offset[:, tf.newaxis, tf.newaxis]) / move.factor[:, tf.newaxis, tf.newaxis]
    low, high = tf.reduce_min(corners, axis=2), tf.reduce_max(corners, axis=2)  # a mirror exchanges them
    first, last = window or (tf.zeros_like(move.offset), tf.ones_like(move.offset) * (size[1], size[0]))
    first, last = first[:, tf.newaxis], last[:, tf.newaxis]
    cut_low, cut_high = tf.clip_by_value(low, first, last), tf.clip_by_value(high, first, last)
    sides = cut_high - cut_low
    whole = tf.reduce_prod(high - low, axis=-1)  # (N, K)
    is_kept = tf.reduce_prod(sides, axis=-1) >= least_visible * whole
    is_kept &= (whole > 0) & tf.reduce_all(sides >= _SHORTEST, axis=-1)
    if learned is not None:
        is_kept |= ~learned & tf.reduce_all(sides > 0, axis=-1)
    return tf.where(is_kept[..., tf.newaxis], tf.concat([cut_low, cut_high], axis=-1), 0.0)


class BoxAugmentation:
    """Changes batches of uint8 images and their boxes at random.

    What it does to a batch follows from the seed and the step alone. An image that would lose all its boxes, of those
    that are learned, stays.

    Args:
        names: of `BOX_AUGMENTATIONS`, applied in this order, to each image on its own.
        least_visible: as for `move_boxes`.
    """

    def __init__(self, names: Sequence[str], *, least_visible: float = LEAST_VISIBLE) -> None:
        self._names, self._least_visible = tuple(names), least_visible

    def seeded(self, random: np.random.Generator) -> Callable[..., _Changed]:
        """Returns a function of images, their boxes and the batch's number in the epoch, for tf.data.

        It takes (N, height, width, C) uint8, (N, K, 4) float32 as `move_boxes` does, a scalar int64 and perhaps which
        boxes are learned, (N, K) bool, and returns the first two in the form in which they came.

        Args:
            random: seeds the changes, once.
        """
        seeds = [int(seed) for seed in random.integers(2**31, size=len(self._names))]

        def augment(pixels: tf.Tensor, boxes: tf.Tensor, step: tf.Tensor, learned: tf.Tensor | None = None) -> _Changed:
            drawn = [
                (name, tf.stack([tf.constant(seed, tf.int64), step]))
                for name, seed in zip(self._names, seeds, strict=True)
            ]
            x = tf.cast(pixels, tf.float32)
            moves = [MOVES[name](seed, pixels) for name, seed in drawn if name in MOVES]
            if moves:
                x, boxes = self._moved(x, boxes, moves, learned)
            for name, seed in drawn:
                if name in COLORS:
                    x = COLORS[name](seed, x)
            x = tf.ensure_shape(x, pixels.shape)
            return tf.cast(tf.round(tf.clip_by_value(x, 0, 255)), tf.uint8), boxes

        return augment

    def _moved(self, pixels: tf.Tensor, boxes: tf.Tensor, moves: Sequence[Move], learned: tf.Tensor | None) -> _Changed:
        move = moves[0]
        for following in moves[1:]:
            move = following.after(move)
        size = (pixels.shape[1], pixels.shape[2])
        moved = move_boxes(boxes, move, size, least_visible=self._least_visible, learned=learned)
        there, left = (tf.reduce_any(some != 0, axis=-1) for some in (boxes, moved))  # (N, K)
        if learned is not None:
            there, left = there & learned, left & learned
        lost = tf.reduce_any(there, axis=1) & ~tf.reduce_any(left, axis=1)
        moved = tf.where(lost[:, tf.newaxis, tf.newaxis], boxes, moved)
        return move_pixels(pixels, move.or_none(lost)), moved


def uniform(seed: tf.Tensor, pixels: tf.Tensor, columns: int, low: float, high: float) -> tf.Tensor:
    """Returns numbers drawn for each of N images, (N, columns)."""
    return tf.random.stateless_uniform((tf.shape(pixels)[0], columns), seed, low, high)


def _size(pixels: tf.Tensor) -> tf.Tensor:
    """Returns width and height, float32."""
    return tf.constant([pixels.shape[2], pixels.shape[1]], tf.float32)


def _flip(seed: tf.Tensor, pixels: tf.Tensor, axes: tuple[float, float] = (1.0, 0.0)) -> Move:
    mirrored = tf.cast(uniform(seed, pixels, 1, 0, 1) < 0.5, tf.float32) * tf.constant([axes])  # (N, 2)
    return Move(1 - 2 * mirrored, mirrored * _size(pixels))


def _shift(seed: tf.Tensor, pixels: tf.Tensor) -> Move:
    offset = uniform(seed, pixels, 2, -_SHIFT, _SHIFT) * _size(pixels)
    return Move(tf.ones_like(offset), offset)


def _scale(seed: tf.Tensor, pixels: tf.Tensor) -> Move:
    factor = 1 / tf.repeat(uniform(seed, pixels, 1, *_SCALE), 2, axis=1)
    return Move(factor, (1 - factor) * _size(pixels) / 2)


def _crop(seed: tf.Tensor, pixels: tf.Tensor) -> Move:
    drawn = uniform(seed, pixels, 4, 0, 1)
    factor = _CROP + (1 - _CROP) * drawn[:, :2]
    return Move(factor, drawn[:, 2:] * (1 - factor) * _size(pixels))


def _color(seed: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    factors = uniform(seed, pixels, pixels.shape[-1], 1 - _COLOR, 1 + _COLOR)
    return pixels * factors[:, tf.newaxis, tf.newaxis]


def _contrast(seed: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    mean = tf.reduce_mean(pixels, axis=(1, 2), keepdims=True)
    factor = uniform(seed, pixels, 1, 1 - _COLOR, 1 + _COLOR)[:, tf.newaxis, tf.newaxis]
    return mean + (pixels - mean) * factor


def _brightness(seed: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    added = uniform(seed, pixels, 1, -255 * _BRIGHTNESS, 255 * _BRIGHTNESS)
    return pixels + added[:, tf.newaxis, tf.newaxis]


MOVES: Mapping[str, Callable[[tf.Tensor, tf.Tensor], Move]] = {
    "flip": _flip,
    "vertical_flip": partial(_flip, axes=(0.0, 1.0)),
    "shift": _shift,
    "scale": _scale,
    "crop": _crop,
}
COLORS: Mapping[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "color": _color,
    "contrast": _contrast,
    "brightness": _brightness,
}
