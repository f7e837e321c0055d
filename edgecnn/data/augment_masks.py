"""Random changes to images and their masks, together.

Every change but those of colour says where each place of the new image lies in the old one. So any number of them is
one such field: pixels and masks are resampled once, at the same places, pixels between their neighbours and masks at
the nearest of them, which makes no class that was not there. What comes from outside is mirrored at the border, in the
pixels and in the mask: a mirrored picture has a mirrored mask, and there is something to learn from it, as from the
mirrored borders of Ronneberger et al. 2015, "U-Net", section 2.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import tensorflow as tf

from edgecnn.data.augment_boxes import COLORS, MOVES, Move, uniform

_ANGLE = 2 * math.pi / 20
# U-Net, section 3.1: displacements on a grid of 3 x 3 with a standard deviation of 10 pixels, bicubic between them
_GRID, _SIGMA = 3, 10.0
_SIGMA_PART = 24  # of the shorter side at most one in so many: in a small image, 10 pixels would fold it over

_Changed = tuple[tf.Tensor, tf.Tensor]
_Bend = Callable[[tf.Tensor], tf.Tensor]  # places in the new image to places in the old one


class MaskAugmentation:
    """Changes batches of uint8 images and their masks at random.

    What it does to a batch follows from the seed and the step alone.

    Args:
        names: of `MASK_AUGMENTATIONS`, applied in this order, to each image on its own; those of colour last.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)

    def seeded(self, random: np.random.Generator) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], _Changed]:
        """Returns a function of images, their masks and the batch's number in the epoch, for tf.data.

        It takes (N, height, width, C) uint8, (N, height, width) uint8 and a scalar int64, and returns the first two in
        the form in which they came.

        Args:
            random: seeds the changes, once.
        """
        seeds = [int(seed) for seed in random.integers(2**31, size=len(self._names))]

        def augment(pixels: tf.Tensor, masks: tf.Tensor, step: tf.Tensor) -> _Changed:
            drawn = [
                (name, tf.stack([tf.constant(seed, tf.int64), step]))
                for name, seed in zip(self._names, seeds, strict=True)
            ]
            x, bends = (
                tf.cast(pixels, tf.float32),
                [_BENDS[name](seed, pixels) for name, seed in drawn if name in _BENDS],
            )
            if bends:
                places = centres(pixels)
                for bend in reversed(bends):  # the last one's old image is the new one of that before it
                    places = bend(places)
                x, masks = sample_between(x, places), tf.ensure_shape(sample_nearest(masks, places), masks.shape)
            for name, seed in drawn:
                if name in COLORS:
                    x = COLORS[name](seed, x)
            x = tf.ensure_shape(x, pixels.shape)
            return tf.cast(tf.round(tf.clip_by_value(x, 0, 255)), tf.uint8), masks

        return augment


def random_crop(pixels: tf.Tensor, masks: tf.Tensor, size: tuple[int, int], seed: tf.Tensor) -> _Changed:
    """Returns of each image a window at a place of its own, and of its mask the same one.

    Args:
        pixels: (N, height, width, C).
        masks: (N, height, width).
        size: (height, width) of the windows, in pixels.
        seed: (2,) of integers: the draw follows from it alone.

    Returns:
        (N, *size, C) and (N, *size), of the dtypes that came.

    Raises:
        ValueError: the windows are larger than the images.
    """
    sides = pixels.shape[1:3]
    if not all(0 < wanted <= side for wanted, side in zip(size, sides, strict=True)):
        raise ValueError(f"size: expected a window inside of {tuple(sides)} (height, width), received {size}")
    for axis, (wanted, side) in enumerate(zip(size, sides, strict=True), start=1):
        own = tf.random.fold_in(seed, axis)  # a sum would be the seed of another batch
        first = tf.random.stateless_uniform(tf.shape(pixels)[:1], own, 0, side - wanted + 1, tf.int32)
        kept = first[:, tf.newaxis] + tf.range(wanted)  # (N, wanted)
        pixels, masks = (tf.gather(one, kept, axis=axis, batch_dims=1) for one in (pixels, masks))
    return pixels, masks


def centres(pixels: tf.Tensor) -> tf.Tensor:
    """Returns the middle of each pixel of each image, (N, height, width, 2), x and y from the edge of the image."""
    count, height, width = tf.shape(pixels)[0], pixels.shape[1], pixels.shape[2]
    x, y = tf.meshgrid(tf.range(width, dtype=tf.float32) + 0.5, tf.range(height, dtype=tf.float32) + 0.5)
    return tf.tile(tf.stack([x, y], axis=-1)[tf.newaxis], (count, 1, 1, 1))


def sample_between(pixels: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Returns the images at places, each between its four neighbours, mirrored beyond the border.

    Args:
        pixels: (N, height, width, C) float32.
        places: (N, rows, columns, 2) float32, x and y in pixels from the edge of the image.

    Returns:
        (N, rows, columns, C).
    """
    place = _mirrored(places, pixels) - 0.5  # the middle of a pixel becomes its number
    low = tf.floor(place)
    across, down = tf.split((place - low), 2, axis=-1)  # (N, rows, columns, 1)
    x, y = tf.unstack(tf.cast(low, tf.int32), axis=-1)
    first, second = ((1 - across) * _at(pixels, x, row) + across * _at(pixels, x + 1, row) for row in (y, y + 1))
    return (1 - down) * first + down * second


def sample_nearest(masks: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Returns the masks at places, each as the pixel there is, mirrored beyond the border.

    Args:
        masks: (N, height, width) of any type.
        places: as for `sample_between`.

    Returns:
        (N, rows, columns).
    """
    x, y = tf.unstack(tf.cast(tf.floor(_mirrored(places, masks)), tf.int32), axis=-1)
    return _at(masks[..., tf.newaxis], x, y)[..., 0]


def _mirrored(places: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Returns the places inside the images that places anywhere show."""
    sides = tf.constant([images.shape[2], images.shape[1]], tf.float32)
    there = tf.math.floormod(places, 2 * sides)
    return tf.minimum(there, 2 * sides - there)


def _at(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Returns the pixels of those numbers, (N, rows, columns, C); beyond the border the last one."""
    height, width = images.shape[1], images.shape[2]
    number = tf.clip_by_value(y, 0, height - 1) * width + tf.clip_by_value(x, 0, width - 1)
    flat = tf.reshape(images, (tf.shape(images)[0], height * width, images.shape[3]))
    return tf.gather(flat, number, axis=1, batch_dims=1)


def _moved(seed: tf.Tensor, pixels: tf.Tensor, draw: Callable[[tf.Tensor, tf.Tensor], Move]) -> _Bend:
    move = draw(seed, pixels)
    factor, offset = (one[:, tf.newaxis, tf.newaxis] for one in (move.factor, move.offset))
    return lambda places: factor * places + offset


def _rotation(seed: tf.Tensor, pixels: tf.Tensor) -> _Bend:
    angle = uniform(seed, pixels, 1, -_ANGLE, _ANGLE)[:, tf.newaxis]  # (N, 1, 1)
    middle = tf.constant([pixels.shape[2] / 2, pixels.shape[1] / 2], tf.float32)

    def bend(places: tf.Tensor) -> tf.Tensor:
        x, y = tf.unstack(places - middle, axis=-1)
        turned = (tf.cos(angle) * x - tf.sin(angle) * y, tf.sin(angle) * x + tf.cos(angle) * y)
        return tf.stack(turned, axis=-1) + middle

    return bend


def _elastic(seed: tf.Tensor, pixels: tf.Tensor) -> _Bend:
    height, width = pixels.shape[1], pixels.shape[2]
    sigma = min(_SIGMA, min(height, width) / _SIGMA_PART)
    coarse = tf.random.stateless_normal((tf.shape(pixels)[0], _GRID, _GRID, 2), seed, stddev=sigma)
    field = tf.ensure_shape(tf.image.resize(coarse, (height, width), "bicubic"), (None, height, width, 2))
    return lambda places: places + sample_between(field, places)


_BENDS: Mapping[str, Callable[[tf.Tensor, tf.Tensor], _Bend]] = {
    **{name: partial(_moved, draw=draw) for name, draw in MOVES.items()},
    "rotation": _rotation,
    "elastic": _elastic,
}
