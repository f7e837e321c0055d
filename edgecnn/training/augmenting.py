"""How what is learned is changed on the way: the pixels alone, or with the boxes in them.

Which of these a task takes, its row says. Each gives, of a seed, a function of a batch's pixels, its arrays by name and
its number in the epoch, which returns the first two changed.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn.augmentations import MOSAIC
from edgecnn.data.augment import Augmentation, color_axes
from edgecnn.data.augment_boxes import BoxAugmentation
from edgecnn.data.augment_masks import MaskAugmentation
from edgecnn.data.mosaic import mosaic
from edgecnn.training.trainee import Arrays

_SEEDS = 16  # that a mosaic counts on from the one it is given

Change = Callable[[tf.Tensor, Arrays, tf.Tensor], tuple[tf.Tensor, Arrays]]
Seeded = Callable[[np.random.Generator], Change]


def images_alone(names: Sequence[str], pixels: npt.NDArray[np.uint8]) -> Seeded:
    """Returns changes after which an image is what it was, so that the arrays stay.

    Args:
        names: of `AUGMENTATIONS`.
        pixels: (N, height, width, channels), some of the images, to measure their colours.
    """
    augmentation = Augmentation(names, color_axes(pixels))

    def seeded(random: np.random.Generator) -> Change:
        change = augmentation.seeded(random)
        return lambda pixels, arrays, step: (change(pixels, step), arrays)

    return seeded


def with_boxes(names: Sequence[str], pixels: npt.NDArray[np.uint8]) -> Seeded:
    """Returns changes that move the array "boxes", (N, 4) or (N, K, 4) xyxy in pixels of the input, with the pixels.

    Of K boxes those that leave the image become zeros; one alone never does, see `BoxAugmentation`. Boxes whose array
    "class_ids", (N) or (N, K), is below 0 are not learned, and stay as far as they are seen.

    Args:
        names: of `BOX_AUGMENTATIONS`.
        pixels: as for `images_alone`; not looked at.
    """
    del pixels
    augmentation = BoxAugmentation(names)

    def seeded(random: np.random.Generator) -> Change:
        change = augmentation.seeded(random)

        def changed(pixels: tf.Tensor, arrays: Arrays, step: tf.Tensor) -> tuple[tf.Tensor, Arrays]:
            boxes, learned = arrays["boxes"], arrays["class_ids"] >= 0
            several = tf.reshape(boxes, (tf.shape(boxes)[0], -1, 4))
            pixels, moved = change(pixels, several, step, tf.reshape(learned, tf.shape(several)[:2]))
            return pixels, {**arrays, "boxes": tf.ensure_shape(tf.reshape(moved, tf.shape(boxes)), boxes.shape)}

        return changed

    return seeded


def with_many_boxes(names: Sequence[str], pixels: npt.NDArray[np.uint8]) -> Seeded:
    """Returns changes as `with_boxes`, but before them, where its name is among them, a mosaic of the batch's images.

    After that the arrays "boxes" and "class_ids", (N, K), may have another K.

    Args:
        names: of `DETECTION_AUGMENTATIONS`.
        pixels: as for `images_alone`; not looked at.
    """
    others = with_boxes([name for name in names if name != MOSAIC], pixels)
    if MOSAIC not in names:
        return others

    def seeded(random: np.random.Generator) -> Change:
        seed, change = int(random.integers(2**31)), others(random)

        def changed(pixels: tf.Tensor, arrays: Arrays, step: tf.Tensor) -> tuple[tf.Tensor, Arrays]:
            return change(*mosaic(pixels, arrays, tf.stack([tf.constant(seed, tf.int64), step * _SEEDS])), step)

        return changed

    return seeded


def with_masks(names: Sequence[str], pixels: npt.NDArray[np.uint8]) -> Seeded:
    """Returns changes that change the array "masks", (N, height, width) of the images' size, with the pixels.

    Args:
        names: of `MASK_AUGMENTATIONS`.
        pixels: as for `images_alone`; not looked at.
    """
    del pixels
    augmentation = MaskAugmentation(names)

    def seeded(random: np.random.Generator) -> Change:
        change = augmentation.seeded(random)

        def changed(pixels: tf.Tensor, arrays: Arrays, step: tf.Tensor) -> tuple[tf.Tensor, Arrays]:
            pixels, masks = change(pixels, arrays["masks"], step)
            return pixels, {**arrays, "masks": masks}

        return changed

    return seeded
